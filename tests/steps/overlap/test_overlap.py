"""Work done before its turn: what it finds is what the steps would have found, and the run ends the same."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.config import Config, load
from p2i_ray.diffusion.sampling.generate import schema
from p2i_ray.errors import UserError
from p2i_ray.run.folder import Counts, Run
from p2i_ray.run.step_table import GENERATE, MEASURE, SCORE, SELECT, TRAIN
from p2i_ray.steps.encode import encode
from p2i_ray.steps.measure import measure
from p2i_ray.steps.overlap.overlap import overlapping
from p2i_ray.steps.round import Output, Round
from p2i_ray.storage import folders, locations
from p2i_ray.storage.parquet import write_table


class Judge:
    """Starts at once, and keeps no answers."""

    keeps_answers = False

    def __init__(self) -> None:
        self.asked = threading.Event()

    def start(self) -> None:
        self.asked.set()


JUDGE: Any = Judge()


def open_run(folder: Path, *settings: str) -> Run:
    return Run.open(str(folder), load(Config, "mini", settings))


def score_and_select(run: Run, data: str) -> None:
    """A third of the rows is kept, in whichever file of scores they come."""
    ids = pq.read_table(f"{data}/train", columns=["id"])["id"].to_pylist()
    scores = [5 if number % 3 == 0 else 2 for number in range(len(ids))]

    def score(out: str) -> Counts:
        folders.make_folder(out)
        table = pa.table({"id": ids, "score": scores, "expected_score": [float(score) for score in scores]})
        for start in (0, 50):
            write_table(table.slice(start, 50 if start == 0 else None), f"{out}/part-{start}.parquet")
        return Counts(rows_out=len(ids))

    def select(out: str) -> Counts:
        write_table(pa.table({"id": ids[::3]}), out)
        return Counts(rows_out=len(ids[::3]))

    run.once(1, SCORE, score)
    run.once(1, SELECT, select)


def test_rows_that_will_be_kept_are_encoded_while_others_are_scored(
    ray_cluster: None, mini_data: str, tmp_path: Path
) -> None:
    run = open_run(tmp_path / "run")
    with overlapping(run, mini_data, JUDGE):
        score_and_select(run, mini_data)
        facts = encode(Round(run, 1, mini_data, JUDGE)).manifest.facts
    assert (facts["encoded"], facts["reused"]) == (0, 40)
    spans = [(span.kind, span.name) for span in run.attempt.record().spans]
    assert ("ahead", "encode") in spans and ("wait", "encode") in spans


@pytest.mark.parametrize("setting", ["idr.keep_fraction=0.5", "idr.overlap=false"])
def test_nothing_is_encoded_early_where_the_ranking_decides(
    ray_cluster: None, mini_data: str, tmp_path: Path, setting: str
) -> None:
    run = open_run(tmp_path / "run", setting)
    with overlapping(run, mini_data, JUDGE):
        score_and_select(run, mini_data)
    assert not locations.exists(str(tmp_path / "run" / "feature-cache"))


def painted(run: Run, data: str) -> Output:
    """Round 0 painted: the test products' photos in the place of the validation products' images."""
    rows = pq.read_table(f"{data}/test").to_pylist()

    def paint(out: str) -> Counts:
        folders.make_folder(out)
        table = pa.Table.from_pylist([{**row, "error": None} for row in rows], schema())
        write_table(table, f"{out}/part-0.parquet")
        return Counts(rows_out=len(rows), files=["part-0.parquet"])

    return Output(run.path(0, GENERATE.output), run.once(0, GENERATE, paint))


def test_figures_are_the_same_early_and_in_turn(ray_cluster: None, mini_data: str, tmp_path: Path) -> None:
    early, turn = open_run(tmp_path / "early"), open_run(tmp_path / "turn", "idr.overlap=false")
    with overlapping(early, mini_data, JUDGE):
        measure(Round(early, 0, mini_data, JUDGE), painted(early, mini_data))
        assert early.done(0, MEASURE) is None  # what runs in the background doesn't count as done
    with overlapping(turn, mini_data, JUDGE):
        measure(Round(turn, 0, mini_data, JUDGE), painted(turn, mini_data))
        assert turn.done(0, MEASURE)
    found, expected = early.done(0, MEASURE), turn.done(0, MEASURE)
    assert found and expected and found.facts == expected.facts and found.facts["images"] == 16
    (span,) = (span for span in early.attempt.record().spans if span.kind == "ahead")
    assert (span.round, span.name) == (0, "measure") and span.ended
    assert found.seconds > (span.ended - span.began) - 0.1 and found.began == pytest.approx(span.began, abs=0.1)


def test_training_waits_for_figures_in_the_background(ray_cluster: None, mini_data: str, tmp_path: Path) -> None:
    run = open_run(tmp_path / "run")
    with overlapping(run, mini_data, JUDGE):
        measure(Round(run, 0, mini_data, JUDGE), painted(run, mini_data))
        run.once(1, TRAIN, lambda _: Counts(rows_in=1 if run.done(0, MEASURE) else 0))
    trained = run.done(1, TRAIN)
    assert trained and trained.rows_in == 1


def test_where_there_is_no_room_beside_the_judge_a_round_is_measured_at_once(
    ray_cluster: None, mini_data: str, tmp_path: Path
) -> None:
    """The judge's three CPUs and a half leave none of the four for the metrics and the task that reads for them."""
    run = open_run(tmp_path / "run", "judge.num_cpus=3.5")
    with overlapping(run, mini_data, JUDGE):
        measure(Round(run, 0, mini_data, JUDGE), painted(run, mini_data))
        assert run.done(0, MEASURE)


def test_what_fails_early_is_told_and_tried_in_its_turn(
    ray_cluster: None, mini_data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = open_run(tmp_path / "run")
    with pytest.raises(UserError, match=r"^round 0/3 · measure: "), overlapping(run, mini_data, JUDGE):
        measure(Round(run, 0, f"{mini_data}/nowhere", JUDGE), painted(run, mini_data))
    assert "round 0/3 · measure not done early, but in its turn: " in capsys.readouterr().err
    with overlapping(run, mini_data, JUDGE):
        measure(Round(run, 0, mini_data, JUDGE), painted(run, mini_data))
    assert run.done(0, MEASURE)


def test_engines_start_while_products_are_painted_before_the_first_round(
    ray_cluster: None, mini_data: str, tmp_path: Path
) -> None:
    run, judge = open_run(tmp_path / "run"), Judge()
    with overlapping(run, mini_data, judge):  # type: ignore[arg-type]
        painted(run, mini_data)
    assert judge.asked.wait(20)
