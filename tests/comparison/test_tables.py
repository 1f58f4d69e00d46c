"""The tables, of evaluations whose figures are known."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from p2i_ray.comparison import formats, verdicts
from p2i_ray.comparison.results import EVALUATED, Case, Evaluated, Results
from p2i_ray.comparison.table import Cell
from p2i_ray.comparison.tables import Tables
from p2i_ray.config.comparison import ComparisonConfig
from p2i_ray.errors import UserError
from p2i_ray.evaluate import picture_values, record
from p2i_ray.evaluate.paired import Difference
from p2i_ray.evaluate.record import Conditions, Measured, Record

METRICS = ("clip_c_b", "fid")
SETTINGS = ComparisonConfig(seeds=(0, 1), splits=("test", "test_unseen"), metrics=METRICS)
IDS = [f"p{number:02}" for number in range(20)]
CONDITIONS = Conditions(
    library="p2i_ray 1", weights="w", settings={}, resolution=64, images=20, real_images=20, data="d"
)


def evaluation(
    out: Path, name: str, number: int, split: str, *, seed: int, mean: float, weights: str = "w"
) -> Evaluated:
    """An evaluation whose pictures' values have a mean, and vary by product alike in all of them."""
    folder = out / f"{name}-{number}-{split}-{seed}"
    values = mean + np.linspace(-1, 1, len(IDS))
    picture_values.write(str(folder), IDS, {"clip_c_b": values}, {})
    conditions = CONDITIONS.model_copy(update={"weights": weights})
    figures = {"clip_c_b": {"clip_c_b": float(values.mean())}, "fid": {"fid": 100 - mean}}
    metrics = {key: Measured(figures=own, conditions=conditions) for key, own in figures.items()}
    record.write(Record(model=name, metrics=metrics), str(folder))
    return Evaluated(name=name, number=number, variant="", split=split, seed=seed, folder=folder.name)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """The loop at 50 and 52, the arm without selection at 40 and 44; a round earlier 10 less; a baseline at 20."""
    found = []
    for seed in (0, 1):
        for number in (1, 2):
            less = 10 * (2 - number)
            found.append(evaluation(tmp_path, "feedback", number, "test", seed=seed, mean=50 + 2 * seed - less))
            found.append(evaluation(tmp_path, "no_filter", number, "test", seed=seed, mean=40 + 4 * seed - less))
        found.append(evaluation(tmp_path, "feedback", 2, "test_unseen", seed=seed, mean=30))
        found.append(evaluation(tmp_path, "sd_inpainting", 0, "test", seed=seed, mean=20))
    (tmp_path / EVALUATED).write_text(json.dumps([one.model_dump() for one in found]))
    return Results.read(str(tmp_path))


def tables(results: Results) -> Tables:
    kept = {"feedback": {0: 10, 1: 14}, "random": {0: 1}}
    return Tables(results, SETTINGS, metrics=METRICS, rounds=2, kept=kept)


def test_table_1_has_methods_in_the_papers_order_with_spread_and_the_papers_figures(results: Results) -> None:
    table = tables(results).methods()
    assert [row.key for row in table.rows] == ["sd_inpainting", "feedback"]
    ours = table.rows[1].cells["test.clip_c_b"]
    assert (ours.mean, ours.seeds, ours.paper) == (pytest.approx(51), 2, 57.55)
    assert ours.spread == pytest.approx(np.std([50, 52], ddof=1))
    assert table.rows[1].cells["test_unseen.clip_c_b"].paper is None
    assert "test_unseen.clip_c_b" not in table.rows[0].cells
    assert table.notes == ("Not run: ControlNet-Inpainting, IP-Adapter, PowerPaint, LaMa, EPBD-FT.",)


def test_the_papers_figures_stand_beside_those_of_its_split_alone(results: Results) -> None:
    """Whichever split comes first."""
    turned = SETTINGS.model_copy(update={"splits": ("test_unseen", "test")})
    found = Tables(results, turned, metrics=METRICS, rounds=2, kept={})
    [ours] = [row for row in found.methods().rows if row.key == "feedback"]
    assert {key: cell.paper for key, cell in ours.cells.items()} == {
        **{"test.clip_c_b": 57.55, "test.fid": 2.64},
        **{"test_unseen.clip_c_b": None, "test_unseen.fid": None},
    }
    assert all(cell.paper is None for row in found.by_round().rows for cell in row.cells.values())


def test_a_row_with_fewer_seeds_than_others_says_so(results: Results) -> None:
    few = [one for one in results.evaluated if (one.name, one.seed) != ("no_filter", 1)]
    found = tables(Results(results.out, few))
    assert [row.label for row in found.arms().rows] == ["judge with feedback", "no selection (1 of 2 seeds)"]
    assert [row.label for row in found.by_round().rows][2:] == [
        "without selection, round 1 (1 of 2 seeds)",
        "without selection, round 2 (1 of 2 seeds)",
    ]
    cell = found.arms().rows[1].cells["clip_c_b"]
    assert cell.difference is not None and cell.difference.difference == pytest.approx(-10)  # of seed 0 alone


def test_table_3_compares_each_round_with_the_same_round(results: Results) -> None:
    rows = {row.label: row.cells["clip_c_b"] for row in tables(results).by_round().rows}
    assert [cell.mean for cell in rows.values()] == pytest.approx([41, 51, 32, 42])
    assert [cell.paper for cell in rows.values()] == [57.30, 57.46, 56.28, 56.34]
    one = rows["without selection, round 2"].difference
    assert one is not None and one.difference == pytest.approx(-9)  # -10 and -8, the same for every product
    assert (one.low, one.high) == (pytest.approx(-10), pytest.approx(-8)) and one.excludes_zero


def test_arms_stand_against_the_loop_with_the_rows_that_they_kept(results: Results) -> None:
    table = tables(results).arms()
    assert [row.label for row in table.rows] == ["judge with feedback", "no selection"]
    assert table.rows[0].cells["kept"].mean == 12 and table.rows[0].cells["clip_c_b"].difference is None
    difference = table.rows[1].cells["clip_c_b"].difference
    assert difference is not None and (difference.pictures, difference.seeds) == (20, 2)
    assert table.rows[1].cells["fid"].difference is None  # it has neither values nor features


def test_tables_for_which_nothing_was_run_are_left_out(results: Results) -> None:
    assert [table.key for table in tables(results).all()] == ["table-1", "table-3", "arms"]


def test_what_was_measured_otherwise_is_said(results: Results, tmp_path: Path) -> None:
    other = evaluation(tmp_path, "random", 2, "test", seed=0, mean=1, weights="others")
    found = Results(results.out, [*results.evaluated, other])
    told = "clip_c_b can't be compared between all rows: they differ in weights."
    assert told in tables(found).arms().notes and not tables(found).by_round().notes
    without = evaluation(tmp_path, "no_cba", 1, "test", seed=0, mean=1, weights="others")
    evaluation(tmp_path, "no_filter", 1, "test", seed=0, mean=30, weights="others")  # in the place of the other one
    found = Results(results.out, [*results.evaluated, without])
    assert told in tables(found).without_cba().notes and told in tables(found).by_round().notes


def test_pictures_that_a_mean_leaves_out_are_said(results: Results) -> None:
    """Those that the judge could not answer about, or without a reference; else a row's mean is of fewer products."""
    assert tables(results).arms().notes == ()
    [folder] = [folder for seed, folder in results.seeds(Case("no_filter", 2, "test")).items() if seed == 1]
    known = record.read(folder)
    figures = {**known.metrics["clip_c_b"].figures, "clip_c_b_left_out": 3.0}
    changed = known.metrics["clip_c_b"].model_copy(update={"figures": figures})
    record.write(known.model_copy(update={"metrics": {**known.metrics, "clip_c_b": changed}}), folder)
    found = tables(Results(results.out, results.evaluated))
    told = ("clip_c_b leaves out pictures that have no value: 0 to 3 in an evaluation.",)
    assert found.arms().notes == found.by_round().notes == told


def test_a_folder_without_a_comparison(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no evaluated\.json"):
        Results.read(str(tmp_path / "none"))


def test_the_verdicts_say_what_is_clear_and_what_is_not(results: Results, tmp_path: Path) -> None:
    same = [evaluation(tmp_path, "no_cba", 2, "test", seed=seed, mean=52 - 2 * seed) for seed in (0, 1)]
    found = Results(results.out, [*results.evaluated, *same])
    lines = list(verdicts.of(found, split="test", rounds=2, metrics=METRICS))
    # With seed 0 the loop is 2 below, with seed 1 it is 2 above.
    assert lines == [
        "CLIP-c-B: no clear difference between the loop and «without CBA»: [+0 (-2 to 2)]; by seed -2, +2; 20 products."
    ]


def test_no_verdict_of_few_products_and_none_without_a_word_of_other_conditions(
    results: Results, tmp_path: Path
) -> None:
    """In both seeds the loop is 10 above; with nine products, that is chance as often as not."""
    clear = "CLIP-c-B: the loop is better than «without CBA»: +10 (10 to 10); by seed +10, +10; 20 products"
    without = [
        evaluation(tmp_path, "no_cba", 2, "test", seed=seed, mean=40 + 2 * seed, weights="w" if seed else "others")
        for seed in (0, 1)
    ]
    found = Results(results.out, [*results.evaluated, *without])
    told = list(verdicts.of(found, split="test", rounds=2, metrics=METRICS))
    assert told == [f"{clear}; but they were measured otherwise (weights)."]
    for one in without:
        picture_values.write(str(tmp_path / one.folder), IDS[:9], {"clip_c_b": np.full(9, 40.0 + 2 * one.seed)}, {})
    [told_of_few] = verdicts.of(Results(results.out, found.evaluated), split="test", rounds=2, metrics=METRICS)
    assert told_of_few.startswith("CLIP-c-B: too few products to tell the loop from «without CBA»: +9.")
    assert "; 9 products; but they were" in told_of_few


def test_formats(results: Results) -> None:
    made = tables(results).all()
    text = formats.markdown(made)
    assert "| Product2Img | 51 ± 1.4 (paper 57.55) |" in text
    assert "-9 (-10 to -8)" in text
    lines = list(csv.DictReader(io.StringIO(formats.as_csv(made))))
    [line] = [one for one in lines if (one["table"], one["row"], one["column"]) == ("arms", "no_filter.2", "clip_c_b")]
    assert (float(line["mean"]), float(line["difference"]), line["paper"]) == (pytest.approx(42), pytest.approx(-9), "")
    assert [table["key"] for table in json.loads(formats.as_json(made))] == ["table-1", "table-3", "arms"]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [((1.0, 3.0), "+2 (1 to 3)"), ((-1.0, 3.0), "[+2 (-1 to 3)]"), ((None, None), "+2")],
)
def test_a_difference_whose_interval_has_zero_in_it_stands_in_brackets(
    ends: tuple[float | None, float | None], expected: str
) -> None:
    found = Difference(difference=2, low=ends[0], high=ends[1], by_seed={0: 2}, pictures=9, left_out=0, seeds=1)
    assert formats.told(found) == expected
    assert formats.shown(Cell(mean=0.12345)) == "0.1235" and formats.shown(None) == "–"


def test_cases_without_an_evaluation_have_no_figures(results: Results) -> None:
    assert results.figures(Case("rank", 2, "test"), "fid") == {}
    assert results.difference(Case("rank", 2, "test"), Case("feedback", 2, "test"), "fid") is None
