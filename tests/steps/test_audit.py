"""What an audit asks of whom, and what it writes; the judges here answer by rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.config import Config, load
from p2i_ray.errors import UserError
from p2i_ray.judge.requests.tasks import CRITIQUES, SCORES
from p2i_ray.run.folder import Run
from p2i_ray.run.manifests import Manifest
from p2i_ray.run.step_table import AUDIT
from p2i_ray.steps.audit import audit
from p2i_ray.steps.round import Output, Round
from p2i_ray.storage import parquet


class RuleJudge:
    """Answers about pictures by their ids, and notes what it is asked.

    Args:
        calls: where that is noted.
        settings: of the judge.
        flawed: ids in which it sees a flaw.
    """

    def __init__(self, calls: list[str], settings: Any, flawed: str) -> None:
        self.settings, self._calls, self._flawed, self._name = settings, calls, flawed, settings.group

    def critique(self, rows: Any, out: str, *, progress: Any = None) -> parquet.Written:
        ids = self._ids("critique", rows)
        flaws = [["blur"] if id_ in self._flawed else [] for id_ in ids]
        answers = [{"id": id_, "flaws": one} for id_, one in zip(ids, flaws, strict=True)]
        return _written(out, pa.Table.from_pylist(answers, CRITIQUES))

    def score(self, rows: Any, out: str, *, by_head: bool = True, progress: Any = None) -> parquet.Written:
        assert not by_head
        answers = [
            {"id": id_, "score": 2 if id_ in self._flawed else 4, "expected_score": 1.5 if id_ in self._flawed else 4.5}
            for id_ in self._ids("score", rows)
        ]
        return _written(out, pa.Table.from_pylist(answers, SCORES))

    def release(self) -> None:
        self._calls.append(f"{self._name} release")

    def _ids(self, what: str, rows: Any) -> list[str]:
        self._calls.append(f"{self._name} {what}")
        return sorted(row["id"] for row in rows.take_all())


class Refusing(RuleJudge):
    def critique(self, rows: Any, out: str, *, progress: Any = None) -> parquet.Written:
        raise UserError("it is too long; raise judge.max_model_len=64")


def _written(out: str, table: pa.Table) -> parquet.Written:
    Path(out).mkdir(parents=True)
    pq.write_table(table, Path(out, "part-a.parquet"))
    return parquet.Written(["part-a.parquet"], table.num_rows, 0, {"cached": 0})


def folder(location: Path, table: pa.Table) -> Output:
    _written(str(location), table)
    manifest = Manifest(step="", round=1, seconds=1, rows_in=4, rows_out=4, files=["part-a.parquet"])
    return Output(str(location), manifest)


def opened(tmp_path: Path, number: int, kind: type[RuleJudge] = RuleJudge) -> tuple[Round, list[str]]:
    config = load(Config, "mini", ["evaluate.judge.model=/models/second"])
    calls: list[str] = []
    judges: Any = RuleJudge(calls, config.judge, "d"), kind(calls, config.held_out_judge, "bcd")
    return Round(Run.open(str(tmp_path / "run"), config), number, "", judges[0], held_out=judges[1]), calls


def images(tmp_path: Path) -> Output:
    return folder(tmp_path / "images", pa.table({"id": list("abcd")}))


def test_round_0_has_no_critiques_so_both_are_asked_for_all(ray_cluster: None, tmp_path: Path) -> None:
    this, calls = opened(tmp_path, 0)
    audit(this, images(tmp_path))
    first, second = "judge", "evaluate.judge"
    asked = [f"{who} {what}" for who in (first, second) for what in ("critique", "score", "release")]
    assert calls == asked  # the engines of one are gone before the other's start
    found = this.run.done(0, AUDIT)
    assert found is not None and found.facts["held_out"] == "/models/second"
    assert sorted(found.facts["passes"]) == [
        f"{who}/{what}" for who in ("held-out", "selecting") for what in ("critiques", "scores")
    ]
    figures = found.facts["figures"]
    assert (figures["available_rate_selecting"], figures["available_rate_held_out"]) == (0.75, 0.25)
    assert figures["available_rate_gap"] == 0.5 and figures["judge_score_gap"] == 1.5
    values = pq.read_table(this.path("audit", "values.parquet")).to_pydict()
    assert values["id"] == list("abcd") and values["available_rate_held_out"] == [1, 0, 0, 0]
    audit(this, images=Output("nowhere", found))
    assert calls == asked  # it is done


def test_critiques_that_are_there_are_not_asked_for_again(ray_cluster: None, tmp_path: Path) -> None:
    this, calls = opened(tmp_path, 1)
    known = [{"id": id_, "flaws": ["blur"] if id_ in "abcd" else []} for id_ in "abcd"]
    audit(this, images(tmp_path), folder(tmp_path / "critiques", pa.Table.from_pylist(known, CRITIQUES)))
    assert "judge critique" not in calls and "judge score" in calls
    found = this.run.done(1, AUDIT)
    assert found is not None and found.facts["figures"]["available_rate_gap"] == -0.25


def test_errors_of_the_held_out_judge_name_its_settings(ray_cluster: None, tmp_path: Path) -> None:
    this, _ = opened(tmp_path, 0, Refusing)
    with pytest.raises(UserError, match=r"audit: the held-out judge: .* raise evaluate\.judge\.max_model_len=64"):
        audit(this, images(tmp_path))
    assert this.run.done(0, AUDIT) is None


def test_without_a_held_out_judge_nothing_is_done(tmp_path: Path) -> None:
    run = Run.open(str(tmp_path / "run"), load(Config, "mini"))
    audit(Round(run, 0, "", None), Output("nowhere", Manifest(step="generate", round=0, seconds=0)))  # type: ignore[arg-type]
    assert not Path(run.path(0)).exists()
