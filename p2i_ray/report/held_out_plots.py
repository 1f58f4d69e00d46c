"""The plot of "Does another judge agree?", in the manner of plots.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from p2i_ray.evaluate.metrics.judge_gap import HELD_OUT, SELECTING
from p2i_ray.report.plots import DROPPED, LINE, canvas, inline

NAMES = {SELECTING: ("the judge that selects", LINE, -0.05), HELD_OUT: ("the held-out judge", DROPPED, 0.05)}


def two_judges_plot(
    title: str,
    rounds: Sequence[str],
    figures: Sequence[Mapping[str, float]],
    *,
    key: str,
    scale: float,
    shown: Callable[[float], str],
) -> Markup:
    """Plot both judges' figures over the rounds, each with its interval.

    Args:
        title: of the figure, for the text that stands for the picture.
        rounds: what each entry of `figures` belongs to.
        figures: of a round, as judge_gap.figures has them.
        key: one of judge_gap.KINDS.
        scale: by which figures are drawn.
        shown: a figure as text.
    """
    with canvas(3.6, 2.4) as (figure, out):
        axes = figure.subplots()
        for judge, (name, colour, shift) in NAMES.items():
            middle, low, high = (
                [scale * one[f"{key}_{judge}{end}"] for one in figures] for end in ("", "_low", "_high")
            )
            below = [max(0.0, value - end) for value, end in zip(middle, low, strict=True)]
            above = [max(0.0, end - value) for value, end in zip(middle, high, strict=True)]
            places = [place + shift for place in range(len(middle))]
            axes.errorbar(
                places, middle, yerr=[below, above], color=colour, marker="o", markersize=5, capsize=3, label=name
            )
        axes.set_xticks(range(len(rounds)), rounds)
        axes.set_xlim(-0.4, len(rounds) - 0.6)
        axes.margins(y=0.15)
        axes.tick_params(labelsize=8)
        axes.set_axisbelow(True)
        axes.grid(axis="y", alpha=0.2)
        axes.legend(fontsize=8, frameon=False, loc="best")
    told = "; ".join(
        f"{name}: {shown(one[f'{key}_{SELECTING}'])} and {shown(one[f'{key}_{HELD_OUT}'])}"
        for name, one in zip(rounds, figures, strict=True)
    )
    return inline(out, f"{title}, by the judge that selects and by the held-out judge. {told}")
