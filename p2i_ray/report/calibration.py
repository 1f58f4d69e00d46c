"""The report's section "Can the judge be trusted?", the same as a page of its own, and as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from p2i_ray.config import ImageConfig
from p2i_ray.data.images import ImageError
from p2i_ray.judge.calibration import sanity, verdicts
from p2i_ray.judge.calibration.calibrate import Calibration, Example
from p2i_ray.judge.calibration.gold import Agreement
from p2i_ray.report import certainty as report_certainty
from p2i_ray.report import pictures
from p2i_ray.report.calibration_plots import confusion_plot, reliability_plot, shift_plot
from p2i_ray.report.certainty import Certainty
from p2i_ray.report.data import RunFolder
from p2i_ray.report.gallery import Picture, Strip
from p2i_ray.report.page import figure, percent, render, signed
from p2i_ray.run.step_table import CALIBRATE
from p2i_ray.storage import folders, locations

SPLIT = "train"  # what a run calibrates on
HEADS = ("check", "rows", "as it is", "varied", "shift", "moved", "fell", "newly kept", "no longer kept", "verdict")


class Plot(NamedTuple):
    """A plot and the words above it."""

    title: str
    note: str
    svg: Markup


class Section(NamedTuple):
    """The template's values."""

    facts: Calibration
    gold: list[tuple[str, str]]  # label, figure
    certainty: Certainty  # conformal intervals, or why there are none
    alarms: list[tuple[str, str]]  # what critiques of clean pictures name, and how often
    alarms_note: str
    plots: list[Plot]
    strips: list[Strip]
    strips_note: str  # why there are none


def of_run(run: RunFolder) -> Section | None:
    """The section of a run; none if the run checked no judge."""
    manifests = [r.steps[CALIBRATE.name] for r in run.rounds if CALIBRATE.name in r.steps]
    if not manifests:
        return None
    facts = Calibration.model_validate(manifests[0].facts)
    files = folders.files(locations.join(locations.absolute(run.config["data"]), SPLIT), ".parquet")
    kept = report_certainty.of_rounds(facts, run.rounds)
    return section(facts, files, ImageConfig.model_validate(run.config["image"]), kept)


def write(facts: Calibration, files: Sequence[str], limits: ImageConfig, out: str) -> str:
    """Write <out>/calibration.html and return its location.

    Args:
        facts: what was found.
        files: Parquet files of the split, for the pictures.
        limits: of pictures.
        out: a folder.
    """
    location = locations.join(out, "calibration.html")
    locations.write_text(location, render("calibration.html", trust=section(facts, files, limits)))
    return location


def section(
    facts: Calibration, files: Sequence[str], limits: ImageConfig, kept: Sequence[tuple[str, str]] = ()
) -> Section:
    """Figures, plots, and the pictures made again from the data; `kept` as certainty.of_rounds has it."""
    strips = list(_strips(facts.examples, files, limits)) if files else []
    note = "" if files or not facts.examples else "The pictures are not shown: their data is not there any more."
    return Section(
        facts=facts,
        gold=gold_figures(facts.gold) if facts.gold else [],
        certainty=report_certainty.of(facts, kept),
        alarms=report_certainty.alarms(facts),
        alarms_note=report_certainty.alarms_note(facts),
        plots=list(_plots(facts)),
        strips=strips,
        strips_note=note,
    )


def gold_figures(gold: Agreement) -> list[tuple[str, str]]:
    """The agreement with gold, a line a figure."""
    aside = f", {gold.set_aside} set aside by the judge" if gold.set_aside else ""
    return [
        ("Rows with gold", f"{gold.rows}{aside}"),
        ("Same whole score", percent(gold.exact)),
        ("Within one", percent(gold.within_one)),
        ("Same decision at γ", percent(gold.same_decision)),
        ("AUC of the expected score, for gold at least γ", figure(gold.auc)),
        ("Rank correlation, Spearman", figure(gold.spearman)),
        ("Rank correlation, Kendall τ-b", figure(gold.kendall)),
        ("Weighted κ (quadratic)", figure(gold.kappa)),
    ]


def table(facts: Calibration) -> str:
    """Gold, intervals and false alarms, then the checks, a line each."""
    figures = [*(gold_figures(facts.gold) if facts.gold else ()), *report_certainty.figures(facts)]
    figures += [(f"Clean pictures: {label}", value) for label, value in report_certainty.alarms(facts)]
    lines = [f"{label:<48}{value}" for label, value in figures]
    rows = [HEADS, *map(shift_cells, facts.shifts)] if facts.shifts else []
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADS))] if rows else []
    for row in rows:
        cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]))
    if facts.exemplars:
        lines.append(f"{facts.exemplars.title}, {facts.exemplars.orders} orders: {facts.exemplars.verdict}")
    return "\n".join(lines)


def shift_cells(shift: verdicts.Shift) -> tuple[str, ...]:
    """A line of the table, below HEADS."""
    shares = (shift.moved, shift.fell, shift.newly_kept, shift.no_longer_kept)
    means = (figure(shift.before), figure(shift.after), signed(shift.shift))
    return (shift.title, str(shift.rows), *means, *map(percent, shares), shift.verdict.partition(":")[0])


def _plots(facts: Calibration) -> Iterator[Plot]:
    compared = [shift for shift in facts.shifts if shift.rows]
    if compared:
        yield Plot("What changes the score", "grey: as it is; blue: varied", shift_plot(compared))
    if facts.gold and facts.gold.rows:
        yield Plot("Gold and judge", "rows by their scores", confusion_plot(facts.gold.confusion))
        yield Plot("Reliability", "number of rows at each point", reliability_plot(facts.gold.reliability))


def _strips(examples: Sequence[Example], files: Sequence[str], limits: ImageConfig) -> Iterator[Strip]:
    ids = {id_ for example in examples for id_ in (example.id, example.lender) if id_}
    found = pictures.rows_by_id(files, ids, ["image"])
    encoded = {id_: (row["image"] or {}).get("bytes") for id_, row in found.items()}
    for example in examples:
        try:
            made = _made(example, encoded, limits)
        except ImageError:  # the data has been replaced since
            continue
        yield Strip(example.name, [_picture(example, name, made[name], limits) for name in example.expected])


def _made(example: Example, encoded: dict[str, bytes | None], limits: ImageConfig) -> dict[str, bytes | None]:
    own = encoded.get(example.id)
    return {
        sanity.AS_IS: own,
        "swapped": encoded.get(example.lender) if example.lender else None,
        "blank": sanity.blank(own, limits),
        "overlay": sanity.overlaid(own, limits),
        "orders": own,
    }


def _picture(example: Example, name: str, encoded: bytes | None, limits: ImageConfig) -> Picture:
    title = "as it is" if name == sanity.AS_IS else verdicts.TITLES[name]
    note = f"“{example.order.strip(' .;')}”" if name == "orders" else ""
    return Picture(
        pictures.data_uri(encoded, limits), f"{example.name}: {title}", f"{example.expected[name]:.2f} {title}", note
    )
