"""The report's section on the held-out judge, of a run whose selecting judge is pleased more and more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from p2i_ray.report import build as report
from p2i_ray.report import held_out
from p2i_ray.report.data import load
from tests.support.page import Page
from tests.support.run_folder import build

pytestmark = pytest.mark.long
MODEL = "/models/another-judge"


@pytest.fixture(scope="module")
def run(mini_data: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return build(tmp_path_factory.mktemp("runs") / "audited", Path(mini_data), evaluate__judge__model=MODEL)


def test_both_judges_and_their_gap_round_by_round(run: str) -> None:
    """16 pictures, of which 4 please both judges; 4, 8, 12 and 16 please the selecting one besides those."""
    found = held_out.of_run(load(run))
    assert found is not None and found.model == "another-judge"
    rate, score = found.tables
    assert [line.round for line in rate.lines] == ["Before", "Round 1", "Round 2", "Round 3"]
    assert [line.selecting.split(" (")[0] for line in rate.lines] == ["44 %", "62 %", "81 %", "100 %"]  # 7, 10, 13, 16
    assert {line.held_out.split(" (")[0] for line in rate.lines} == {"25 %"}
    assert [line.gap.split(" (")[0] for line in rate.lines] == ["+19 points", "+38 points", "+56 points", "+75 points"]
    assert rate.lines[0].growth == "–" and rate.lines[3].growth.startswith("+56 points (+31 to +")
    assert [line.gap.split(" (")[0] for line in score.lines] == ["+0.40"] * 4


def test_a_gap_that_grows_is_said_in_a_sentence(run: str) -> None:
    page = Page(Path(report.write(run)).read_text("utf-8"))
    assert "Does another judge agree?" in page.words
    assert (
        "Warning: The diffusion model may have learned to please the judge: from before to round 3 the gap between the "
        "two judges (available rate) has grown by +56 points (" in page.words
    )
    assert page.words.count("may have learned to please the judge") == 1  # the mean scores' gap stays
    labels = [svg["aria-label"] for svg in page.all("svg")]
    assert any("Before: 44 % and 25 %; Round 1: 62 % and 25 %" in (label or "") for label in labels)
    metrics = [one["metrics"] for one in json.loads(Path(run, "run.json").read_text())["rounds"]]
    assert [one["available_rate_gap"] for one in metrics] == [3 / 16, 6 / 16, 9 / 16, 12 / 16]
    assert metrics[1]["fid"] == 37.02  # measured, too


def test_before_a_gap_can_grow_it_is_not_spoken_of(mini_data: str, tmp_path: Path) -> None:
    found = build(tmp_path / "run", Path(mini_data), stop_after=(0, "audit"), evaluate__judge__model=MODEL)
    page = Page(Path(report.write(found)).read_text("utf-8"))
    assert "One round has been looked at" in page.words and "Warning" not in page.words


def test_a_run_without_a_held_out_judge_has_no_section(mini_data: str, tmp_path: Path) -> None:
    found = build(tmp_path / "run", Path(mini_data), stop_after=(0, "measure"))
    assert held_out.of_run(load(found)) is None
    assert "Does another judge" not in Path(report.write(found)).read_text("utf-8")
