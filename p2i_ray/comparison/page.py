"""Write a comparison's tables and figures: one page that needs no network; tables as Markdown, CSV and JSON."""

from __future__ import annotations

from p2i_ray.comparison import figures, formats, verdicts
from p2i_ray.comparison.arm_runs import ArmRuns
from p2i_ray.comparison.arms import BY_NAME
from p2i_ray.comparison.compare import Comparison
from p2i_ray.comparison.results import Case, Results
from p2i_ray.comparison.tables import TABLE_1, Tables, title_of
from p2i_ray.config.comparison import REFERENCE
from p2i_ray.report.page import render
from p2i_ray.run import manifests
from p2i_ray.run.step_table import SELECT
from p2i_ray.storage import locations

PAGE = "comparison.html"


def write(comparison: Comparison) -> str:
    """Write the page and the tables of a finished comparison; returns the location of the Markdown."""
    results, settings = Results.read(comparison.out), comparison.settings
    rounds, splits = comparison.rounds, settings.splits
    tables = Tables(
        results, settings, metrics=comparison.metrics, rounds=rounds, kept=kept(comparison.runs, rounds)
    ).all()
    said = list(verdicts.of(results, split=splits[0], rounds=rounds, metrics=comparison.metrics))
    cases = [(title_of(name), Case(name, rounds if name in BY_NAME else 0, splits[0])) for name in TABLE_1]
    shown = figures.shown_seed(results, [case for _, case in cases], settings.seeds)
    limits, count = comparison.config.image, settings.products
    runs = {seed: comparison.runs.folder(REFERENCE, seed) for seed in settings.seeds}
    page = render(
        "comparison.html",
        {"shown": formats.shown, "told": formats.told, "number": formats.figure},
        seeds=settings.seeds,
        arms=comparison.arms,
        steps=comparison.config.idr.steps[:rounds],
        splits=splits,
        evaluations=len(results.evaluated),
        verdicts=said,
        tables=tables,
        shown_seed=shown,
        products=[] if shown is None else figures.products(results, cases, seed=shown, count=count, limits=limits),
        data_plot=figures.data_plot(figures.round_data(runs, rounds)),
    )
    text = formats.markdown(tables) + "".join(f"\n- {line}" for line in said) + ("\n" if said else "")
    location = locations.join(comparison.out, "tables.md")
    locations.write_text(location, text)
    locations.write_text(locations.join(comparison.out, "tables.csv"), formats.as_csv(tables))
    locations.write_text(locations.join(comparison.out, "tables.json"), formats.as_json(tables))
    locations.write_text(locations.join(comparison.out, PAGE), page)
    return location


def kept(runs: ArmRuns, rounds: int) -> dict[str, dict[int, int]]:
    """The rows that each arm kept in its last round, by seed."""
    found: dict[str, dict[int, int]] = {}
    for arm in BY_NAME:
        for seed in runs.comparison.seeds:
            place = manifests.location(runs.folder(arm, seed), rounds, SELECT.name)
            if locations.exists(place):
                found.setdefault(arm, {})[seed] = manifests.read_one(place).rows_out
    return found
