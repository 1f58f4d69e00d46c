"""Every difference between two runs is found, and only differences."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from chaos import outcome
from chaos.outcome import Verdict
from p2i_ray.run.manifests import Manifest

SAME = Verdict(lost=0, ids=True, feedback=True, weights=True)


def write_rows(folder: Path, name: str, rows: dict[str, str | None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    error = pa.array(list(rows.values()), pa.string())
    pq.write_table(pa.table({"id": pa.array(list(rows), pa.string()), "error": error}), folder / name)


def manifest(run: Path, step: str, files: list[str]) -> None:
    path = run / "round-1" / "steps" / f"{step}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Manifest(step=step, round=1, seconds=1.0, files=files).model_dump_json(), "utf-8")


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    """A finished run of one round: a, b and d are scored, c is set aside, b and d are kept."""
    run = tmp_path / "baseline"
    write_rows(run / "round-1" / "scores", "x.parquet", {"a": None, "b": None})
    write_rows(run / "round-1" / "scores", "y.parquet", {"c": "cut off", "d": None})
    write_rows(run / "round-1" / "scores", "dead-attempt.parquet", {"a": None, "b": None})
    manifest(run, "score", ["x.parquet", "y.parquet"])
    manifest(run, "select", [])
    pq.write_table(pa.table({"id": ["b", "d"]}), run / "round-1" / "kept.parquet")
    (run / "round-1" / "feedback.txt").write_text("wrong scene", "utf-8")
    (run / "model" / "unet").mkdir(parents=True)
    save_file({"w": np.ones(4, np.float32)}, run / "model" / "unet" / "m.safetensors")
    return run


def rescore(run: Path) -> None:
    shutil.rmtree(run / "round-1" / "scores")
    write_rows(run / "round-1" / "scores", "z.parquet", {"d": None, "c": "cut off", "b": None, "a": None})
    manifest(run, "score", ["z.parquet"])


def lose_a_row(run: Path) -> None:
    write_rows(run / "round-1" / "scores", "y.parquet", {"c": "cut off"})


def score_twice(run: Path) -> None:
    manifest(run, "score", ["x.parquet", "y.parquet", "dead-attempt.parquet"])


def set_aside_otherwise(run: Path) -> None:
    write_rows(run / "round-1" / "scores", "y.parquet", {"c": None, "d": "the engine was lost 3 times with this row"})


def bring_a_stranger(run: Path) -> None:
    write_rows(run / "round-1" / "scores", "y.parquet", {"c": "cut off", "d": None, "e": None})


def keep_another(run: Path) -> None:
    pq.write_table(pa.table({"id": ["b", "a"]}), run / "round-1" / "kept.parquet")


def say_otherwise(run: Path) -> None:
    (run / "round-1" / "feedback.txt").write_text("wrong scene, text overlay", "utf-8")


def learn_otherwise(run: Path) -> None:
    weights = np.ones(4, np.float32)
    weights[2] = np.nextafter(weights[2], np.float32(2))  # one bit
    save_file({"w": weights}, run / "model" / "unet" / "m.safetensors")


def forget_a_file(run: Path) -> None:
    (run / "model" / "unet" / "m.safetensors").unlink()


def forget_a_step(run: Path) -> None:
    (run / "round-1" / "steps" / "score.json").unlink()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda run: None, SAME),
        (rescore, SAME),
        (lose_a_row, SAME._replace(lost=1)),
        (score_twice, SAME._replace(lost=2)),
        (set_aside_otherwise, SAME._replace(lost=2)),
        (bring_a_stranger, SAME._replace(lost=1)),
        (forget_a_step, SAME._replace(lost=4)),
        (keep_another, SAME._replace(ids=False)),
        (say_otherwise, SAME._replace(feedback=False)),
        (learn_otherwise, SAME._replace(weights=False)),
        (forget_a_file, SAME._replace(weights=False)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_difference_is_seen(baseline: Path, change: Callable[[Path], None], expected: Verdict) -> None:
    other = baseline.parent / "other"
    shutil.copytree(baseline, other)
    change(other)
    assert outcome.compare(outcome.read(baseline), outcome.read(other)) == expected


def test_two_runs_without_a_result_are_not_the_same(tmp_path: Path) -> None:
    nothing = outcome.read(tmp_path)
    assert outcome.compare(nothing, nothing) == Verdict(lost=0, ids=False, feedback=False, weights=False)
