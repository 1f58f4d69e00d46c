"""The cascade from end to end, with a judge that is a known function of the picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from p2i_ray.config import CascadeConfig, ImageConfig, JudgeConfig
from p2i_ray.data.images import encode_png
from p2i_ray.errors import UserError
from p2i_ray.judge.cascade import cascade
from p2i_ray.judge.cascade.head import Head
from p2i_ray.judge.requests.tasks import SCORES
from p2i_ray.storage import locations, parquet

CLIP = str(Path(__file__).parents[3] / "p2i_ray" / "mini" / "weights" / "evaluator_clip")
ROWS, SAMPLE, GAMMA = 330, 110, 4
LIMITS = ImageConfig(resolution=64)


def picture_rows(number: int, brightest: int = 255) -> list[dict[str, Any]]:
    """Noisy grey pictures of random brightness."""
    rows = []
    for index in range(number):
        rng = np.random.default_rng(index)
        pixels = rng.uniform(0, brightest) + rng.normal(0, 12, (64, 64, 3))
        picture = encode_png(pixels.clip(0, 255).astype(np.uint8))
        rows.append({"id": f"row-{index}", "name": f"Grey Card {index}", "image": {"bytes": picture, "path": ""}})
    return rows


def bright(dataset: Any, out: str, progress: parquet.Progress | None) -> parquet.Written:
    """The full judge of these tests: scores grow with brightness, and broken pictures are set aside."""

    def judged(batch: pa.Table) -> pa.Table:
        from p2i_ray.config import ImageConfig
        from p2i_ray.data import images
        from p2i_ray.judge.requests.tasks import SCORES

        rows = []
        for row in batch.to_pylist():
            try:
                level = float(np.asarray(images.decode(row["image"]["bytes"], ImageConfig())).mean())
            except images.ImageError as error:
                rows.append({"id": row["id"], "error": str(error)})
                continue
            expected = 1 + 4 * level / 255
            columns = {"score": round(expected), "expected_score": expected, "entropy": 0.5, "reason": "seen"}
            rows.append({"id": row["id"], **columns})
        return pa.Table.from_pylist(rows, schema=SCORES)

    scores = dataset.map_batches(judged, batch_format="pyarrow", num_cpus=0.1)
    return parquet.write_parquet(scores, out, SCORES, progress)._replace(facts={"cached": 3, "model": "bright"})


class Outcome(NamedTuple):
    """A run of the cascade."""

    written: parquet.Written
    table: pa.Table
    calls: list[int]  # rows of each call of the full judge
    progress: int  # rows reported to `progress`


def run(rows: Sequence[dict[str, Any]], out: Path, seed: int = 5, blocks: int = 6, **settings: Any) -> Outcome:
    import ray

    calls: list[int] = []
    reported: list[int] = []

    def ask(dataset: Any, folder: str, progress: parquet.Progress | None) -> parquet.Written:
        written = bright(dataset, folder, progress)
        calls.append(written.rows)
        return written

    options = {"clip": CLIP, "sample": SAMPLE, "agreement": 0.85, "num_cpus": 0.1, "batch_size": 32, **settings}
    judge = JudgeConfig(model="none", cascade=CascadeConfig(**options))
    dataset = ray.data.from_items(list(rows), override_num_blocks=blocks)
    written = cascade.score(
        dataset,
        str(out),
        ask=ask,
        gamma=GAMMA,
        settings=judge,
        image=LIMITS,
        seed=seed,
        progress=reported.append,
    )
    return Outcome(written, parquet.read_parquet(str(out), written.files), calls, sum(reported))


def rows_with_broken() -> list[dict[str, Any]]:
    rows = picture_rows(ROWS)
    for index in (7, 100, 200):
        rows[index]["image"] = {"bytes": b"broken", "path": ""}
    rows[50]["name"] = ""
    return rows


@pytest.fixture(scope="module")
def outcome(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    out = tmp_path_factory.mktemp("cascade") / "scores"
    return run(rows_with_broken(), out), out


def test_every_id_comes_out_once_and_most_without_the_judge(outcome: tuple[Outcome, Path]) -> None:
    (written, table, calls, progress), _ = outcome
    assert sorted(table["id"].to_pylist()) == sorted(f"row-{index}" for index in range(ROWS))
    assert table.schema.equals(SCORES)
    assert (written.rows, written.set_aside, progress) == (ROWS, 3, ROWS)
    facts = written.facts
    by_head = table["reason"].to_pylist().count(cascade.REASON)
    assert facts["rows"] == ROWS and facts["why"] is None
    assert facts["llm_calls"] == sum(calls) == ROWS - by_head
    assert facts["saved_share"] == pytest.approx(by_head / ROWS)
    assert facts["saved_share"] > 0.4
    assert facts["cached"] == 3 * len(calls) and facts["model"] == "bright"


def test_the_decisions_agree_with_the_judge(outcome: tuple[Outcome, Path]) -> None:
    (written, table, _, _), _ = outcome
    pictures = {row["id"]: row["image"]["bytes"] for row in picture_rows(ROWS)}
    right = []
    for row in table.to_pylist():
        if row["reason"] != cascade.REASON:
            continue
        assert row["error"] is None and 0 <= row["entropy"] <= np.log(5)
        assert (row["score"] >= GAMMA) == (row["expected_score"] >= GAMMA)
        full = 1 + 4 * brightness(pictures[row["id"]]) / 255
        right.append((round(full) >= GAMMA) == (row["score"] >= GAMMA))
    assert np.mean(right) >= 0.9
    facts = written.facts
    assert facts["agreement_held_out"] >= 0.9 and facts["auc_held_out"] > 0.95
    assert 0 < facts["held_out_rows"] < 40 and 60 < facts["trained_rows"] < 130
    assert 1 < facts["low"] < facts["high"] < 5


def test_rows_without_features_go_to_the_judge(outcome: tuple[Outcome, Path]) -> None:
    (_, table, _, _), _ = outcome
    found = {row["id"]: row for row in table.to_pylist()}
    for index in (7, 100, 200):
        assert "unreadable" in found[f"row-{index}"]["error"]
        assert found[f"row-{index}"]["score"] is None
    assert found["row-50"]["reason"] == "seen"  # without a name: this judge scores it, the head can't


def test_only_the_head_and_its_facts_are_kept(outcome: tuple[Outcome, Path]) -> None:
    (written, _, _, _), out = outcome
    assert sorted(path.name for path in (out / "cascade").iterdir()) == ["cascade.json", "head.safetensors"]
    assert json.loads((out / "cascade" / "cascade.json").read_text()) == written.facts
    assert Head.from_bytes((out / "cascade" / "head.safetensors").read_bytes()).points.shape[1] == 3 * 64 + 16 * 128


@pytest.mark.slow
def test_the_same_seed_decides_the_same_in_any_order(outcome: tuple[Outcome, Path], tmp_path: Path) -> None:
    (first, table, _, _), _ = outcome
    again = run(rows_with_broken()[::-1], tmp_path / "scores", blocks=4)
    assert again.table.to_pylist() == table.to_pylist()
    assert again.written.facts == first.facts


@pytest.mark.parametrize(
    ("number", "brightest", "settings", "calls", "why"),
    [
        (SAMPLE + 20, 255, {}, 1, "fewer than 2 times"),
        (240, 255, {"agreement": 0.99}, 2, "too few to show an agreement of 0.99"),
    ],
)
def test_without_a_head_the_judge_scores_all_rows(
    *,
    number: int,
    brightest: int,
    settings: dict[str, Any],
    calls: int,
    why: str,
    ray_cluster: None,
    tmp_path: Path,
) -> None:
    written, table, rows_of_calls, progress = run(picture_rows(number, brightest), tmp_path / "scores", **settings)
    assert (len(set(table["id"].to_pylist())), table.num_rows, progress) == (number, number, number)
    assert table["reason"].to_pylist() == ["seen"] * number
    assert len(rows_of_calls) == calls and sum(rows_of_calls) == number
    assert written.facts["llm_calls"] == number and written.facts["saved_share"] == 0
    assert why in written.facts["why"]


def test_a_wrong_clip_is_an_error_before_any_request(ray_cluster: None, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"judge\.cascade\.clip"):
        run(picture_rows(3), tmp_path / "scores", clip=str(tmp_path))
    assert not locations.exists(str(tmp_path / "scores"))


def brightness(encoded: bytes) -> float:
    from p2i_ray.data import images

    return float(np.asarray(images.decode(encoded, ImageConfig())).mean())
