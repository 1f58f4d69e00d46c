"""The report's section "How the selection changed", against the manifests and tables that it is made from."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.config import LoopConfig
from p2i_ray.report import build as report
from p2i_ray.report import data as report_data
from p2i_ray.report import selection as report_selection
from p2i_ray.report import selection_photos as report_selection_photos
from p2i_ray.report.data import Round
from p2i_ray.report.selection_plots import Stage, flaw_plot, flow_plot, label_places
from p2i_ray.run.folder import Manifest
from tests.support.page import Page
from tests.support.run_folder import CACHED, FEEDBACK, build

pytestmark = pytest.mark.long

TITLE = "How the selection changed"


@pytest.fixture(scope="module")
def run(mini_data: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return build(tmp_path_factory.mktemp("runs") / "whole", Path(mini_data), idr__inspect=50, idr__exemplars=3)


@pytest.fixture(scope="module")
def page(run: str) -> Page:
    return written(run)


def written(run: str) -> Page:
    return Page(Path(report.write(run)).read_text("utf-8"))


def section(page: Page) -> str:
    return page.words.split(TITLE)[1].split("Dropped and kept")[0]


def facts(run: str, number: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(run, f"round-{number}", "steps", "inspect.json").read_text())["facts"]
    return found


def told(page: Page, start: str) -> list[str]:
    return [svg["aria-label"] or "" for svg in page.all("svg") if (svg["aria-label"] or "").startswith(start)]


def test_the_flow_is_that_of_the_manifests(run: str, page: Page) -> None:
    kept = [r["kept"] for r in json.loads(Path(run, "run.json").read_text())["rounds"][1:]]
    (flow,) = told(page, "Rows from round to round.")
    assert f"Round 1: 120 judged, {kept[0]} kept, {117 - kept[0]} dropped, 3 set aside" in flow
    assert f"Round 3: {kept[1]} judged, {kept[2]} kept, {kept[1] - kept[2]} dropped, 0 set aside" in flow
    assert f"Round 1: {CACHED} of 120 answers came from the judge's cache." in section(page)
    assert "Round 2: 0 of" not in section(page)


def test_flaws_of_the_kept_and_the_dropped(run: str, page: Page) -> None:
    assert "the judge's own word, on a sample of at most 50 photos a round" in section(page)
    for number in (1, 2, 3):
        (plot,) = told(page, f"Round {number}, photos that show a flaw.")
        for flaw, groups in facts(run, number)["flaws"].items():
            assert f"{flaw}: {100 * groups['kept']:.0f} % of kept, {100 * groups['dropped']:.0f} % of dropped" in plot


def test_what_the_feedback_did(run: str, page: Page) -> None:
    assert "Round 1, told" not in section(page)
    for number in (2, 3):
        counts = facts(run, number)["feedback"]
        part = section(page).split(f"Round {number}, told “{FEEDBACK[number - 2]}”")[1].split("told “")[0]
        assert f"Kept without {counts['both_keep']} {counts['only_feedback_drops']} " in part
        assert f"Dropped without {counts['only_feedback_keeps']} {counts['both_drop']} " in part
        paths = re.findall(
            r"(\d) → (\d) ", part.split("Only the feedback drops")[1].split("Only the feedback keeps")[0]
        )
        assert len(paths) == min(12, counts["only_feedback_drops"]) > 0
        assert all(int(before) >= 4 > int(after) for before, after in paths)
        rescued = re.findall(r"(\d) → (\d) ", part.partition("Only the feedback keeps")[2])
        assert len(rescued) == min(4, counts["only_feedback_keeps"])
        assert all(int(after) >= 4 > int(before) for before, after in rescued)


@pytest.mark.parametrize(
    "settings", [{}, {"idr__threshold_on": "expected_score"}, {"idr__keep_fraction": 0.6}], ids=str
)
def test_the_photos_are_those_that_were_counted(mini_data: str, tmp_path: Path, settings: dict[str, object]) -> None:
    location = build(tmp_path / "run", Path(mini_data), stop_after=(3, "inspect"), idr__inspect=40, **settings)
    run = report_data.load(location)
    for r in run.rounds[2:]:
        counts = facts(location, r.number)["feedback"]
        found = report_selection_photos.changed(r, LoopConfig.model_validate(run.config["idr"]))
        assert len(found.dropped) == counts["only_feedback_drops"] > 0
        assert len(found.rescued) == counts["only_feedback_keeps"]
        digits = r"\d → \d" if not settings else r"\d\.\d\d → \d\.\d\d"
        assert all(re.fullmatch(digits, path) for path in found.dropped.values())
    assert ("as many photos are kept" in section(written(location))) == ("idr__keep_fraction" in settings)


def test_exemplars_of_each_round(run: str, page: Page, mini_data: str, tmp_path: Path) -> None:
    part = section(page).split("The judge's exemplars")[1]
    assert "In round 1" not in part and "In round 4" not in part
    for number in (2, 3):
        rows = pq.read_table(Path(run, f"round-{number - 1}", "exemplars", "exemplars.parquet")).to_pylist()
        words = " ".join(f"score {row['score']} {row['name']}" for row in rows)
        assert f"In round {number}, out of round {number - 1} {words}" in part
    given = tmp_path / "given.parquet"
    shutil.copy(Path(run, "round-1", "exemplars", "exemplars.parquet"), given)
    other = build(tmp_path / "run", Path(mini_data), stop_after=(1, "select"), judge__exemplars=given)
    assert "In every round, given with judge.exemplars score" in section(written(other))
    given.unlink()
    assert f"They can't be shown: exemplars {given} are not there" in section(written(other))


@pytest.mark.parametrize(
    ("stop", "there", "not_there"),
    [
        ((1, "score"), "answers came from the judge's cache", "Which flaws went"),
        ((1, "select"), "answers came from the judge's cache", "Which flaws went"),
        ((1, "inspect"), "on a sample of 50 photos that", "What the feedback did"),
        ((2, "score"), "on a sample of 50 photos that", "What the feedback did"),
        ((2, "inspect"), "Round 2, told", "Round 3, told"),
    ],
)
def test_a_run_that_was_stopped(
    mini_data: str, tmp_path: Path, stop: tuple[int, str], there: str, not_there: str
) -> None:
    found = written(build(tmp_path / "run", Path(mini_data), stop_after=stop, idr__inspect=50))
    part = found.words.split(TITLE)[1]
    assert there in part and not_there not in part
    assert ("not selected yet" in told(found, "Rows from round to round.")[0]) == (stop[1] == "score")


@pytest.mark.parametrize("settings", [{"stop_after": (0, "measure")}, {"idr__select": "false"}], ids=str)
def test_no_selection_no_section(mini_data: str, tmp_path: Path, settings: dict[str, Any]) -> None:
    assert TITLE not in written(build(tmp_path / "run", Path(mini_data), **settings)).words


def test_photos_whose_data_are_gone(mini_data: str, tmp_path: Path) -> None:
    data = shutil.copytree(mini_data, tmp_path / "data")
    run = build(tmp_path / "run", data, stop_after=(2, "inspect"), idr__exemplars=2)
    shutil.rmtree(data)
    found = section(written(run))
    assert f"The photos are not shown: {data} is not there any more." in found
    assert "Only the feedback drops" not in found
    counts = facts(run, 2)["feedback"]
    assert f"Kept without {counts['both_keep']} {counts['only_feedback_drops']} " in found
    assert "In round 2, out of round 1 score" in found  # these are the run's own


def test_other_peoples_text_stays_text(mini_data: str, tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    data = shutil.copytree(mini_data, tmp_path / "data")
    for file in data.glob("train/*.parquet"):
        table = pq.read_table(file)
        index = table.schema.get_field_index("name")
        pq.write_table(table.set_column(index, table.schema.field("name"), pa.array([hostile] * table.num_rows)), file)
    run = build(tmp_path / "run", data, feedback=(hostile,), stop_after=(2, "exemplars"), idr__exemplars=2)
    Path(run, "round-2", "steps", "exemplars.json").unlink()
    found = written(run)
    assert found.all("script") == []
    part = section(found)
    assert f"Round 2, told “{hostile}”" in part and f"score 5 {hostile}" in part and f"→ 3 {hostile}" in part


def scored(**told: object) -> Round:
    return Round(1, "", {"score": Manifest(step="score", round=1, seconds=1, rows_in=5000, rows_out=5000, facts=told)})


def test_how_scores_were_come_by() -> None:
    assert report_selection.scoring_text(scored()) == report_selection.scoring_text(scored(cached=0)) == ""
    cascade = {"llm_calls": 1500, "saved_share": 0.7, "why": None, "held_out_rows": 150, "agreement_held_out": 0.9867}
    assert report_selection.scoring_text(scored(cached=100, **cascade)) == (
        "the cascade's head decided 70 % of the rows and left 1,500 to the LMM; it agrees with the LMM on 98.7 % of "
        "150 rows held out; 100 of 1,500 answers came from the judge's cache"
    )
    why = {"llm_calls": 5000, "saved_share": 0.0, "why": "the head is sure of no row"}
    assert report_selection.scoring_text(scored(**why)) == (
        "the LMM scored every row, because the head is sure of no row"
    )
    hosted = {"cached": 0, "requests": 5012, "retries": 12, "usd": 1.234}
    assert report_selection.scoring_text(scored(**hosted)) == "5,012 requests to the judge's endpoint for 1.23 USD"


def test_what_the_critique_names() -> None:
    named = {"a": ["blur"], "b": ["blur", "clutter"], "c": [], "elsewhere": ["text overlay"]}
    assert (
        report_selection_photos.tally(["a", "b", "c", "unanswered"], named) == "blur in 2, clutter in 1, no flaw in 1"
    )
    assert report_selection_photos.tally([], named) == ""


@pytest.mark.parametrize(
    "stage",
    [
        Stage("nothing is dropped", 587, 587, 0),
        Stage("a low bar", 100, 50, 0),
        Stage("a low bar with rows that are set aside", 100, 50, 12),
        Stage("nothing is kept", 1200, 0, 0),
        Stage("all is set aside but for a few", 1200, 3, 1190),
    ],
    ids=lambda stage: stage.title,
)
def test_labels_of_a_bar_leave_one_another_room(stage: Stage) -> None:
    gap = 132  # rows a line of text, where the highest bar has 1,200
    places = label_places(stage, gap)
    lines = 2 if stage.set_aside else 1
    assert places.kept >= gap / 2  # above the axis
    assert places.dropped - lines * gap / 2 >= places.kept + gap / 2
    assert places.judged >= max(stage.rows, places.dropped + lines * gap / 2)


def test_labels_stand_at_their_parts_where_there_is_room() -> None:
    assert label_places(Stage("Round 1", 1200, 800, 0), 132) == (400, 1000, 1200)


def test_plots_say_what_they_show() -> None:
    svg = flow_plot([Stage("Round 1", 10, 6, 1), Stage("Round 2", 6, None, 0)])
    assert "Round 1: 10 judged, 6 kept, 3 dropped, 1 set aside; Round 2: 6 judged, not selected yet" in svg
    assert ">3 dropped<" in svg and ">1 set aside<" in svg and ">6 kept<" in svg
    svg = flaw_plot("Round <1>", {"blur": {"kept": None, "dropped": 0.254}}, 0.254)
    assert "Round &lt;1&gt;, photos that show a flaw. blur: – of kept, 25 % of dropped" in svg
