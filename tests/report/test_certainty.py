"""What the report says of intervals and false alarms, by hand."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from p2i_ray.judge.calibration.calibrate import Calibration
from p2i_ray.judge.calibration.conformal import Conformal, Group
from p2i_ray.judge.calibration.false_alarms import FalseAlarms
from p2i_ray.judge.calibration.gold import Agreement
from p2i_ray.judge.calibration.proportions import proportion
from p2i_ray.judge.requests.tasks import SCORES
from p2i_ray.report import certainty
from p2i_ray.report.data import Round
from p2i_ray.run.manifests import Manifest

GOLD = Agreement(
    rows=40,
    set_aside=0,
    exact=1,
    within_one=1,
    same_decision=1,
    spearman=1,
    kendall=1,
    auc=1,
    kappa=1,
    confusion=[[0] * 5] * 5,
    reliability=[],
)
FOUND = Conformal(
    coverage=0.9,
    groups={score: Group(rows=20, quantile=0.8) for score in range(1, 6)},
    covered=proportion(19, 20),
    mean_width=0.72,
    surely=proportion(6, 10),
    kept_right=proportion(9, 10),
)
ALARMS = FalseAlarms(set_aside=1, flagged=proportion(2, 10), by_flaw={"blur": proportion(2, 10)})  # type: ignore[dict-item]


def facts(**found: object) -> Calibration:
    return Calibration(gamma=4, threshold_on="score", **found)  # type: ignore[arg-type]


def test_without_gold_there_is_no_interval_and_no_false_alarm() -> None:
    nothing = certainty.of(facts(), [])
    assert nothing.figures == [] and "no interval is given" in nothing.note
    assert certainty.alarms(facts()) == [] and "not counted" in certainty.alarms_note(facts())
    older = facts(gold=GOLD)
    assert "older version" in certainty.of(older, []).note == certainty.alarms_note(older)


def test_the_figures_with_their_intervals() -> None:
    found = certainty.of(facts(gold=GOLD, conformal=FOUND, false_alarms=ALARMS), [("round", "all")])
    assert found.note == "" and found.figures[-1] == ("round", "all")
    shown = dict(found.figures)
    assert shown["Covered, of the rows held out"] == "95 % (75 % to 100 %), 19 of 20"
    assert shown["Kept rows held out: surely at least 4"] == "60 % (26 % to 88 %), 6 of 10"


def test_too_few_rows_say_how_many_are_needed() -> None:
    few = FOUND.model_copy(update={"groups": {**FOUND.groups, 3: Group(rows=5, quantile=None)}})
    note = certainty.of(facts(gold=GOLD, conformal=few), []).note
    assert "An interval at 90 % needs 18 rows with gold" in note and "too few with a score of 3 (5): of rows" in note


def test_false_alarms_are_told_by_flaw() -> None:
    found = facts(gold=GOLD, conformal=FOUND, false_alarms=ALARMS)
    assert certainty.alarms(found) == [
        ("any flaw", "20 % (3 % to 56 %), 2 of 10"),
        ("blur", "20 % (3 % to 56 %), 2 of 10"),
    ]
    assert certainty.alarms_note(found).startswith("Share of 10 pictures without a flaw")
    assert certainty.alarms_note(found).endswith("; 1 could not be criticised.")
    none_clean = facts(gold=GOLD, conformal=FOUND)
    assert certainty.alarms(none_clean) == [] and "People found a flaw in every" in certainty.alarms_note(none_clean)


def test_kept_rows_that_are_surely_and_perhaps_good(tmp_path: Path) -> None:
    """Half widths are 0.8 (0.25 + entropy): 0.2 at no entropy, 0.6 at 0.5 nats."""
    given = {"a": (5, 4.9, 0.5), "b": (4, 4.2, 0.0), "c": (4, 4.2, 0.5), "d": (4, 3.6, 0.0), "e": (2, 2.0, 0.0)}
    rows = [{"id": id_, "score": s, "expected_score": e, "entropy": h} for id_, (s, e, h) in given.items()]
    scores = pa.Table.from_pylist(rows, SCORES)
    (tmp_path / "scores").mkdir()
    pq.write_table(scores, tmp_path / "scores" / "part-a.parquet")

    def one(number: int, kept: str) -> Round:
        steps = {
            "score": Manifest(step="score", round=number, seconds=1, rows_in=5, files=["part-a.parquet"]),
            "select": Manifest(step="select", round=number, seconds=1, rows_in=5, rows_out=len(kept)),
        }
        chosen = scores.append_column("kept", pa.array([id_ in kept for id_ in scores["id"].to_pylist()]))
        return Round(number, str(tmp_path), steps, scores=chosen)

    found = certainty.of_rounds(facts(gold=GOLD, conformal=FOUND), [one(1, "abcd"), one(2, "ab")])
    assert found == [  # a from 4.3, b from 4.0, c from 3.6 on; d is at most 3.8, though its whole score is 4
        ("Round 1: kept rows at least 4", "50 % surely (2 surely, 1 perhaps, 1 not of 4)"),
        ("Round 2: kept rows at least 4", "100 % surely (2 surely, 0 perhaps of 2)"),
    ]
    assert certainty.of_rounds(facts(), [one(1, "ab")]) == []
