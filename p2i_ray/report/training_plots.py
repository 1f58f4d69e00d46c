"""The plots of "Training", in the manner of plots.py: a figure over the steps of all rounds, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from p2i_ray.report.plots import INK, LINE, canvas, inline

POINTS = 240  # of a plot, all rounds together: more can't be told apart
WINDOWS = 8  # a line's point is the mean over a window of a round's length / WINDOWS


class Curve(NamedTuple):
    """A figure at every step of a round."""

    title: str
    values: list[float]


def curve_plot(label: str, curves: Sequence[Curve], noisy: bool, height: float = 1.9) -> Markup:
    """A figure over the steps, the rounds from left to right.

    Args:
        label: what the figure is, for the text that stands for the picture.
        curves: of each round; none is empty.
        noisy: show each step as a faint point, and over them their moving mean as a line; else a line of the steps.
        height: of the plot, inches.
    """
    total = sum(len(curve.values) for curve in curves)
    stride = -(-total // POINTS)
    told, start = [], 0
    with canvas(4.4, height) as (figure, out):
        axes = figure.subplots()
        for curve in curves:
            values = np.asarray(curve.values)
            means = smooth(values) if noisy else values
            steps = np.arange(start + 1, start + len(values) + 1)
            some = np.union1d(np.arange(0, len(values), stride), [len(values) - 1])
            if noisy:
                axes.plot(steps[some], values[some], ".", color=LINE, alpha=0.35, markersize=4.5, markeredgewidth=0)
            axes.plot(steps[some], means[some], color=LINE, linewidth=1.8, solid_capstyle="round")
            if start:
                axes.axvline(start + 0.5, color=INK, linewidth=0.6, alpha=0.35)
            if len(curves) > 1:
                middle = (steps[0] + steps[-1]) / 2
                axes.annotate(
                    curve.title.lower(),
                    (middle, 1),
                    xycoords=("data", "axes fraction"),
                    xytext=(0, 2),
                    textcoords="offset points",
                    fontsize=8,
                    ha="center",
                    alpha=0.7,
                )
            told.append(f"{curve.title}: from {means[0]:.3g} to {means[-1]:.3g} in {len(values)} steps")
            start += len(values)
        axes.set_xlim(0.5, total + 0.5)
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=6)
        axes.yaxis.get_major_locator().set_params(nbins=5)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}".replace("e-0", "e-"))
        axes.tick_params(labelsize=8)
        axes.set_axisbelow(True)
        axes.grid(axis="y", alpha=0.2)
    return inline(out, f"{label} over the steps{', smoothed' if noisy else ''}. {'; '.join(told)}")


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The moving mean of (n,) values, centred; at the ends of what there is."""
    window = np.ones(2 * (len(values) // (2 * WINDOWS)) + 1)
    counts = np.convolve(np.ones(len(values)), window, "same")
    means: NDArray[np.float64] = np.convolve(values, window, "same") / counts
    return means
