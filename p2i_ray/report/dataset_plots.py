"""Plots of a data set: how many rows of each kind, and how a figure is distributed."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from p2i_ray.report.plots import LINE, canvas, inline

LONGEST = 28  # characters of a label
BINS = 24


def bars(unit: str, counts: Sequence[tuple[str, int]]) -> Markup:
    """Horizontal bars, the first on top, each with its number."""
    with canvas(4.2, 0.6 + 0.2 * max(len(counts), 3)) as (figure, out):
        axes = figure.subplots()
        labels = [_short(label) for label, _ in counts]
        numbers = [number for _, number in counts]
        axes.barh(range(len(counts)), numbers, color=LINE)
        axes.set_yticks(range(len(counts)), labels, fontsize=8)
        axes.invert_yaxis()
        for place, number in enumerate(numbers):
            axes.annotate(
                f"{number:,}", (number, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8
            )
        axes.margins(x=0.15)
        axes.tick_params(axis="x", labelsize=8)
        axes.set_xlabel(unit, fontsize=8)
    return inline(out, ", ".join(f"{label}: {number} {unit}" for label, number in counts))


def histogram(label: str, values: Sequence[float]) -> Markup:
    """How often a figure has which value."""
    with canvas(4.2, 2.4) as (figure, out):
        axes = figure.subplots()
        axes.hist(values, bins=BINS, color=LINE)
        axes.set_xlabel(label, fontsize=8)
        axes.set_ylabel("rows", fontsize=8)
        axes.tick_params(labelsize=8)
    return inline(out, f"{len(values)} rows by {label}, from {min(values):g} to {max(values):g}")


def _short(label: str) -> str:
    """A label that fits beside its bar; an empty one is said to be."""
    text = " ".join(label.split()) or "(none)"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
