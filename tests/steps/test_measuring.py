"""Rounds measured beside what comes next."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.config import Config, load
from p2i_ray.diffusion.sampling.generate import schema
from p2i_ray.errors import UserError
from p2i_ray.run.folder import Counts, Run
from p2i_ray.steps.measuring import Measuring
from p2i_ray.storage import locations
from p2i_ray.storage.parquet import write_table


def painted_run(folder: Path, data: str, *settings: str) -> Run:
    """A run whose round 0 is painted: the test products' photos in the place of the validation products' pictures."""
    run = Run.open(str(folder), load(Config, "mini", settings))
    rows = pq.read_table(f"{data}/test").to_pylist()

    def paint(out: str) -> Counts:
        locations.make_folder(out)
        table = pa.Table.from_pylist([{**row, "error": None} for row in rows], schema())
        write_table(table, f"{out}/part-0.parquet")
        return Counts(rows_out=len(rows), files=["part-0.parquet"])

    run.once(0, "generate", "generated", paint)
    return run


def test_figures_are_the_same_early_and_in_turn(ray_cluster: None, mini_data: str, tmp_path: Path) -> None:
    early = painted_run(tmp_path / "early", mini_data)
    figures = Measuring(early, mini_data)
    figures.begin(0)
    assert early.done(0, "measure") is None  # what is beside doesn't count as done
    figures.finish(0)
    turn = painted_run(tmp_path / "turn", mini_data, "idr.overlap=false")
    Measuring(turn, mini_data).begin(0)
    found, expected = early.done(0, "measure"), turn.done(0, "measure")
    assert found and expected and found.facts == expected.facts and found.facts["images"] == 16
    (span,) = (span for span in early.attempt.record().spans if span.kind == "ahead")
    assert (span.round, span.name) == (0, "measure") and span.ended
    assert found.seconds > (span.ended - span.began) - 0.1 and found.began == pytest.approx(span.began, abs=0.1)


def test_where_there_is_no_room_beside_the_judge_a_round_is_measured_at_once(
    ray_cluster: None, mini_data: str, tmp_path: Path
) -> None:
    """The judge's three CPUs and a half leave none of the four for the ruler and the task that reads for it."""
    run = painted_run(tmp_path / "run", mini_data, "judge.num_cpus=3.5")
    Measuring(run, mini_data).begin(0)
    assert run.done(0, "measure")


def test_what_fails_early_is_told_and_tried_in_its_turn(
    ray_cluster: None, mini_data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = painted_run(tmp_path / "run", mini_data)
    figures = Measuring(run, f"{mini_data}/nowhere")
    figures.begin(0)
    with pytest.raises(UserError, match=r"^round 0/3 · measure: "):
        figures.finish(0)
    assert "round 0/3 · measure not done early, but in its turn: " in capsys.readouterr().err
    figures.finish(0)  # nothing is left to finish
    Measuring(run, mini_data).begin(0)
    figures.finish(0)
