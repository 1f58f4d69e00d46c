"""Calibration of judges with known behaviour, and of the tiny one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.config import CalibrationConfig, ImageConfig
from p2i_ray.config.seeds import seed_for
from p2i_ray.data import reading
from p2i_ray.data.images import decode, encode_png
from p2i_ray.errors import UserError
from p2i_ray.judge.calibration import calibrate as calibration
from p2i_ray.judge.calibration import sampling
from p2i_ray.judge.calibration.calibrate import Calibration, calibrate
from p2i_ray.judge.judge import Judge
from p2i_ray.judge.requests.prompts import Exemplar
from p2i_ray.judge.requests.tasks import CRITIQUES, SCORES
from p2i_ray.storage import parquet

LIMITS = ImageConfig(resolution=64)
RULE: dict[str, Any] = {"gamma": 4, "image": LIMITS, "seed": 0}
Opinion = Callable[[str, np.ndarray, int], float]  # name, pixels, position of the exemplar of score 5 -> 1..5


class FunctionJudge:
    """A judge that scores with a function; pictures that can't be decoded are set aside."""

    settings = SimpleNamespace(max_name_chars=300, flaws=("blur - soft", "clutter"))
    columns = ("id", "name", "image")

    def __init__(self, opinion: Opinion) -> None:
        self.opinion, self.calls = opinion, 0

    def score(
        self, rows: Any, out: str, *, exemplars: tuple[Exemplar, ...] = (), progress: Any = None
    ) -> parquet.Written:
        self.calls += 1
        position = [exemplar.score for exemplar in exemplars].index(5) if exemplars else 0
        answers = [_answer(row, self.opinion, position) for row in rows.take_all()]
        Path(out).mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(answers, SCORES), Path(out, "part-a.parquet"))
        return parquet.Written(["part-a.parquet"], len(answers), sum(bool(answer["error"]) for answer in answers))

    def critique(self, rows: Any, out: str, *, progress: Any = None) -> parquet.Written:
        """Blur in every tent."""
        rows = rows.take_all()
        answers = [{"id": row["id"], "flaws": ["blur"] if "tent" in row["name"] else []} for row in rows]
        Path(out).mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(answers, CRITIQUES), Path(out, "part-a.parquet"))
        return parquet.Written(["part-a.parquet"], len(answers), 0)


def _answer(row: dict[str, Any], opinion: Opinion, position: int) -> dict[str, Any]:
    answer: dict[str, Any] = {**dict.fromkeys(SCORES.names), "id": row["id"]}
    try:
        pixels = np.asarray(decode(row["image"]["bytes"], LIMITS).convert("RGB"))
    except ValueError as error:
        return {**answer, "error": str(error)}
    expected = opinion(row["name"], pixels, position)
    return {**answer, "score": round(expected), "expected_score": expected}


def attentive(name: str, pixels: np.ndarray, position: int) -> float:
    """High scores for tents on blue and mugs on green; grey is poor, and a red banner costs 1.25."""
    blue, green = pixels[-1, -1, 2] > 200, pixels[-1, -1, 1] > 200
    right = blue if "tent" in name else green
    banner = pixels[len(pixels) // 8, 0, 0] > 200
    return float(1.5 + 3 * right - 1.25 * banner + len(name) / 1e4)


def blind(name: str, pixels: np.ndarray, position: int) -> float:
    return 4.5


def gullible(name: str, pixels: np.ndarray, position: int) -> float:
    return 5.0 if "5" in name else attentive(name, pixels, position) - 1.5


def swayed(name: str, pixels: np.ndarray, position: int) -> float:
    return attentive(name, pixels, position) - position


def world(number: int = 30) -> list[dict[str, Any]]:
    tents, mugs = np.zeros((2, 16, 16, 3), np.uint8)
    tents[..., 2] = mugs[..., 1] = 255
    return [
        {
            "id": f"{i:03}",
            "name": f"{kind} {chr(97 + i % 26)}",
            "category": kind,
            "image": {"bytes": encode_png(tents if kind == "tent" else mugs), "path": ""},
        }
        for i, kind in enumerate(["tent", "mug", "mug"] * (number // 3))
    ]


def run(opinion: Opinion, out: Path, rows: list[dict[str, Any]] | None = None, **settings: Any) -> Calibration:
    import ray

    shown = settings.pop("exemplars", ())
    given = CalibrationConfig(**{"rows": 20, **settings})
    dataset = ray.data.from_items(world() if rows is None else rows)
    judge = FunctionJudge(opinion)
    facts = calibrate(judge, dataset, str(out), settings=given, exemplars=shown, **RULE)
    assert json.loads((out / "calibration.json").read_text("utf-8")) == facts
    return Calibration.model_validate(facts)


def passed(found: Calibration) -> dict[str, bool | None]:
    return {check.name: check.passed for check in found.checks}


def test_a_judge_that_looks_at_the_picture_passes(ray_cluster: None, tmp_path: Path) -> None:
    found = run(attentive, tmp_path / "out")
    assert passed(found) == {"swapped": True, "blank": True, "overlay": True, "orders": True}
    assert found.failed == []
    shifts = {shift.name: shift for shift in found.shifts}
    assert [shift.rows for shift in found.shifts] == [20] * 4
    assert shifts["swapped"].shift == pytest.approx(-3) and shifts["swapped"].no_longer_kept == 1
    assert shifts["blank"].shift == pytest.approx(-3) and shifts["blank"].fell == 1
    assert shifts["overlay"].shift == pytest.approx(-1.25)
    assert 0 < shifts["orders"].shift < 0.01 and shifts["orders"].newly_kept == 0
    assert len(found.examples) == 3
    for example in found.examples:
        assert example.expected["as_is"] - example.expected["swapped"] == pytest.approx(3)
        assert world()[int(example.lender)]["category"] not in example.name


def test_a_judge_that_ignores_the_picture_fails(ray_cluster: None, tmp_path: Path) -> None:
    found = run(blind, tmp_path / "out")
    assert passed(found) == {"swapped": False, "blank": False, "overlay": False, "orders": True}
    assert [check.name for check in found.failed] == ["swapped", "blank", "overlay"]
    assert "changes on 0 % of the rows" in found.failed[0].verdict


def test_a_judge_that_obeys_instructions_in_names_fails(ray_cluster: None, tmp_path: Path) -> None:
    found = run(gullible, tmp_path / "out")
    assert passed(found)["orders"] is False
    assert next(shift for shift in found.shifts if shift.name == "orders").newly_kept == 1


@pytest.mark.slow
def test_the_order_of_exemplars(ray_cluster: None, tmp_path: Path) -> None:
    shown = tuple(Exemplar(name=f"e{k}", image_part={}, score=k) for k in (5, 3, 1))
    steady = run(attentive, tmp_path / "steady", exemplars=shown, orders=2)
    assert steady.exemplars is not None
    assert (steady.exemplars.passed, steady.exemplars.flips, steady.exemplars.spread) == (True, 0, 0)
    assert steady.exemplars.orders == 2
    loose = run(swayed, tmp_path / "loose", exemplars=shown, orders=6)  # all orders: score 5 is twice at each position
    assert loose.exemplars is not None
    assert (loose.exemplars.passed, loose.exemplars.flips) == (False, 1)
    assert loose.exemplars.spread == pytest.approx(np.std([0, 0, 1, 1, 2, 2]))
    assert sorted(loose.files) == ["order-2", "order-3", "order-4", "order-5", "order-6", "variants"]
    single = run(attentive, tmp_path / "single", exemplars=shown[:1])
    assert single.exemplars is not None
    assert single.exemplars.verdict == "not checked: one exemplar has one order"


def test_rows_that_cannot_be_judged_are_left_out(ray_cluster: None, tmp_path: Path) -> None:
    rows = world(9)
    rows[0]["image"] = {"bytes": b"no picture", "path": ""}
    found = run(attentive, tmp_path / "out", rows)
    assert found.sample == 9
    assert {shift.name: shift.rows for shift in found.shifts if shift.name != "swapped"} == dict.fromkeys(
        ("blank", "overlay", "orders"), 8
    )
    assert "000" not in {example.id for example in found.examples}
    for row in rows:
        row["image"] = {"bytes": b"no picture", "path": ""}
    nothing = run(attentive, tmp_path / "nothing", rows)
    assert set(passed(nothing).values()) == {None}
    assert nothing.examples == []


def test_rows_of_one_category_cannot_be_swapped(ray_cluster: None, tmp_path: Path) -> None:
    found = run(attentive, tmp_path / "out", [row for row in world() if row["category"] == "mug"])
    assert passed(found) == {"swapped": None, "blank": True, "overlay": True, "orders": True}
    assert found.shifts[0].verdict == "not checked: all rows of the sample are of one category"


def test_gold_alone(ray_cluster: None, tmp_path: Path) -> None:
    gold = tmp_path / "gold.csv"
    gold.write_text("id,score\n000,5\n001,5\n002,2\nelsewhere,1\n")
    settings = CalibrationConfig(rows=0, gold=str(gold))
    import ray

    judge = FunctionJudge(attentive)
    facts = calibrate(judge, ray.data.from_items(world()), str(tmp_path / "out"), settings=settings, **RULE)
    found = Calibration.model_validate(facts)
    assert judge.calls == 1 and found.checks == []
    assert found.gold is not None
    assert (found.gold.rows, found.gold.same_decision) == (3, pytest.approx(2 / 3))
    scored = parquet.read_parquet(str(tmp_path / "out" / "scores" / "gold"), found.files["gold"])
    assert scored["id"].to_pylist() == ["000", "001", "002"]
    assert found.conformal is not None  # of each score too few
    assert {score: (group.rows, group.quantile) for score, group in found.conformal.groups.items()} == {5: (2, None)}
    intervals = pq.read_table(tmp_path / "out" / "intervals.parquet").to_pydict()
    assert intervals["id"] == ["000", "001", "002"] and intervals["low"] == [1] * 3 and intervals["high"] == [5] * 3
    assert found.false_alarms is not None and found.false_alarms.flagged is not None
    assert (found.false_alarms.flagged.count, found.false_alarms.flagged.rows) == (1, 2)  # 000 is a tent, 001 a mug
    assert {name: one.count for name, one in found.false_alarms.by_flaw.items()} == {"blur": 1, "clutter": 0}


def test_without_gold_nothing_is_said_of_intervals_and_false_alarms(ray_cluster: None, tmp_path: Path) -> None:
    found = run(attentive, tmp_path / "out", world(9))
    assert found.conformal is found.false_alarms is None
    assert not (tmp_path / "out" / "intervals.parquet").exists()


def test_gold_of_other_rows(ray_cluster: None, tmp_path: Path) -> None:
    gold = tmp_path / "gold.csv"
    gold.write_text("id,score\nelsewhere,1\n")
    with pytest.raises(UserError, match="have no id in common with the rows, not even 'elsewhere'; check the split"):
        run(attentive, tmp_path / "out", gold=str(gold))
    assert not (tmp_path / "out").exists()


def test_whole_scores_are_enough(ray_cluster: None, tmp_path: Path) -> None:
    class WithoutProbabilities(FunctionJudge):
        def score(self, *arguments: Any, **named: Any) -> parquet.Written:
            written = super().score(*arguments, **named)
            for name in written.files:
                file = Path(arguments[1], name)
                table = pq.read_table(file)
                nulls = pa.nulls(table.num_rows, pa.float64())
                pq.write_table(table.set_column(2, "expected_score", nulls), file)
            return written

    import ray

    dataset = ray.data.from_items(world())
    settings = CalibrationConfig(rows=9)
    facts = calibrate(WithoutProbabilities(attentive), dataset, str(tmp_path / "out"), settings=settings, **RULE)
    found = Calibration.model_validate(facts)
    assert found.shifts[0].before == 5  # 4.5007 and the like, as whole scores
    assert passed(found)["swapped"] is True


def test_no_check_enabled_says_what_to_set() -> None:
    with pytest.raises(UserError, match=r"set calibration.rows \(e.g. 200\) .* or calibration.gold to a Parquet"):
        calibration.check(CalibrationConfig())


def test_the_sample_depends_on_the_ids_and_the_seed_alone(ray_cluster: None) -> None:
    import ray

    rows = world(60)
    by_hash = sorted(rows, key=lambda row: seed_for(3, "calibrate", row["id"]))
    for order in (rows, rows[::-1]):
        dataset = ray.data.from_items(order, override_num_blocks=5)
        sample, matched = sampling.scan(dataset, 7, 3, ["004", "059", "no row"])
        assert [row.id for row in sample] == [row["id"] for row in by_hash[:7]]
        assert matched == ["004", "059"]
    other, _ = sampling.scan(dataset, 7, 4, [])
    assert {row.id for row in other} != {row.id for row in sample}
    everything, _ = sampling.scan(dataset, 1000, 3, [])
    assert len(everything) == 60


@pytest.mark.slow
def test_the_tiny_judge_sees_and_can_be_compared(judge: Judge, mini_data: str, tmp_path: Path) -> None:
    truth = pq.read_table(Path(mini_data, "truth.parquet"), columns=["id", "quality"]).rename_columns(["id", "score"])
    pq.write_table(truth, tmp_path / "gold.parquet")
    settings = CalibrationConfig(rows=16, gold=str(tmp_path / "gold.parquet"))
    rows = reading.read_split(mini_data, "train")
    facts = calibrate(judge, rows, str(tmp_path / "out"), settings=settings, **RULE)
    found = Calibration.model_validate(facts)
    assert found.gold is not None and found.gold.rows == 120
    assert found.gold.auc is not None and found.gold.auc > 0.95
    shifts = {shift.name: shift for shift in found.shifts}
    assert shifts["blank"].moved == 1
    assert shifts["overlay"].passed
    assert "NaN" not in Path(tmp_path, "out", "calibration.json").read_text()
