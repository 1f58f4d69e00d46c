"""The table of runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from chaos import table
from chaos.table import NO_VICTIM, Row

GOOD = Row(
    seed=7,
    faults=["driver · round 1 train · 0.50"],
    whom=["driver 9"],
    calm_s=60.0,
    run_s=95.0,
    starts=2,
    startup_s=9.0,
    lost=0,
    ids=True,
    feedback=True,
    weights=True,
    endings=["killed", "done"],
    end="done",
    strays=[],
    orphans=["VLLM::EngineCore"],
)


def test_costs_are_split_into_start_up_and_work_done_again() -> None:
    assert (GOOD.more_s, GOOD.again_s) == (35.0, 26.0)
    shown = ("60", "95", "35", "2", "9", "26", "0", "yes", "yes", "yes", "1", "done")
    assert GOOD.cells() == ("7", "driver · round 1 train · 0.50", *shown)
    assert len(GOOD.cells()) == len(table.HEADS)


def test_a_run_is_the_same_only_if_everything_is() -> None:
    assert GOOD.same
    wrong = ({"lost": 1}, {"lost": None}, {"ids": False}, {"feedback": False}, {"weights": False}, {"weights": None})
    for change in (*wrong, {"end": "HUNG at round 1 train"}, {"end": NO_VICTIM}):
        assert not replace(GOOD, **change).same, change


def test_the_table_is_written_with_every_run(tmp_path: Path) -> None:
    hung = replace(GOOD, seed=8, run_s=420.0, lost=None, ids=None, feedback=None, weights=None, end="HUNG at x | y")
    table.write([GOOD, hung], tmp_path)
    written = (tmp_path / "chaos.md").read_text("utf-8").splitlines()
    assert written[2].startswith("| 7 | driver · round 1 train · 0.50 | 60 | 95 | 35 | 2 | 9 | 26 | 0 | yes ")
    assert written[3].endswith("| - | - | - | - | 1 | HUNG at x / y |")
    assert len({line.count("|") for line in written[:4]}) == 1
    assert "1 of 2 runs ended as the undisturbed one; the faults cost 198 s in the median, 360 s at most" in written
    figures = json.loads((tmp_path / "chaos.json").read_text("utf-8"))
    assert [(row["seed"], row["same"], row["again_s"]) for row in figures] == [(7, True, 26.0), (8, False, 351.0)]
