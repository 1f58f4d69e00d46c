"""Plots of a data set: how a figure is distributed."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from p2i_ray.report.plots import LINE, canvas, inline

BINS = 24


def histogram(label: str, values: Sequence[float]) -> Markup:
    """A histogram of a figure's values."""
    with canvas(4.2, 2.4) as (figure, out):
        axes = figure.subplots()
        axes.hist(values, bins=BINS, color=LINE)
        axes.set_xlabel(label, fontsize=8)
        axes.set_ylabel("rows", fontsize=8)
        axes.locator_params(axis="y", integer=True)
        axes.tick_params(labelsize=8)
    return inline(out, f"{len(values)} rows by {label}, from {min(values):g} to {max(values):g}")
