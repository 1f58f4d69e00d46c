"""The plots of "Can the judge be trusted?", in the manner of plots.py."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from p2i_ray.judge.calibration.gold import Bin
from p2i_ray.judge.calibration.verdicts import Shift
from p2i_ray.report.page import signed
from p2i_ray.report.plots import DROPPED, INK, LINE, canvas, inline


def shift_plot(shifts: Sequence[Shift]) -> Markup:
    """Plot the mean expected score of the rows as they are (grey) and varied (blue), a line for each variation."""
    with canvas(3.6, 0.75 + 0.42 * len(shifts)) as (figure, out):
        axes = figure.subplots()
        for y, shift in enumerate(shifts):
            assert shift.before is not None and shift.after is not None
            axes.plot([shift.before, shift.after], [y, y], color=LINE, linewidth=2.5, alpha=0.55, zorder=1)
            axes.scatter([shift.before], [y], s=46, color=DROPPED, zorder=2)
            axes.scatter([shift.after], [y], s=46, color=LINE, zorder=3)
            axes.annotate(
                signed(shift.shift),
                ((shift.before + shift.after) / 2, y),
                xytext=(0, 6),
                fontsize=8,
                textcoords="offset points",
                ha="center",
            )
        axes.set_yticks(range(len(shifts)), [shift.title for shift in shifts])
        axes.set_ylim(len(shifts) - 0.5, -0.7)  # the first on top
        axes.set(xlim=(0.8, 5.2), xticks=range(1, 6))
        axes.set_xlabel("mean expected score", fontsize=9)
        axes.tick_params(axis="y", length=0, labelsize=9)
        axes.tick_params(axis="x", labelsize=8)
        axes.set_axisbelow(True)
        axes.grid(axis="x", alpha=0.2)
    told = ", ".join(f"{shift.title}: from {shift.before:.2f} to {shift.after:.2f}" for shift in shifts)
    return inline(out, f"Mean expected score as it is and varied. {told}")


def confusion_plot(confusion: Sequence[Sequence[int]]) -> Markup:
    """Plot a confusion matrix: (5, 5) counts, gold scores down, the judge's across."""
    most = max(1, *(count for row in confusion for count in row))
    with canvas(2.9, 2.7) as (figure, out):
        from matplotlib.patches import Rectangle

        axes = figure.subplots()
        for gold, row in enumerate(confusion, 1):
            for judged, count in enumerate(row, 1):
                corner, shade = (judged - 0.48, gold - 0.48), 0.06 + 0.64 * count / most
                axes.add_patch(Rectangle(corner, 0.96, 0.96, facecolor=LINE, alpha=shade, linewidth=0))
                if count:
                    weight = "bold" if gold == judged else "normal"
                    axes.text(judged, gold, str(count), ha="center", va="center", fontsize=9, weight=weight)
        axes.set(xlim=(0.5, 5.5), ylim=(0.5, 5.5), xticks=range(1, 6), yticks=range(1, 6), aspect="equal")
        axes.set_xlabel("the judge", fontsize=9)
        axes.set_ylabel("gold", fontsize=9)
        axes.tick_params(length=0, labelsize=9)
        for spine in axes.spines.values():
            spine.set_visible(False)
    lines = (f"gold {gold}: {', '.join(map(str, row))}" for gold, row in enumerate(confusion, 1))
    return inline(out, f"Rows by gold score and, from 1 to 5, the judge's score. {'; '.join(lines)}")


def reliability_plot(bins: Sequence[Bin]) -> Markup:
    """Plot mean gold score over mean expected score, with the number of rows at each point, and the diagonal."""
    with canvas(2.9, 2.7) as (figure, out):
        axes = figure.subplots()
        axes.plot([1, 5], [1, 5], color=INK, linestyle="--", linewidth=1, alpha=0.5)
        axes.plot([b.expected for b in bins], [b.gold for b in bins], color=LINE, marker="o", linewidth=2, markersize=5)
        for b in bins:
            under = b.gold < b.expected  # away from the line of equality
            axes.annotate(
                str(b.rows),
                (b.expected, b.gold),
                xytext=(5, -10) if under else (-5, 5),
                fontsize=8,
                textcoords="offset points",
                ha="left" if under else "right",
            )
        axes.set(xlim=(0.7, 5.3), ylim=(0.7, 5.3), xticks=range(1, 6), yticks=range(1, 6), aspect="equal")
        axes.set_xlabel("expected score", fontsize=9)
        axes.set_ylabel("mean gold score", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.set_axisbelow(True)
        axes.grid(alpha=0.2)
    told = ", ".join(f"{b.gold:.2f} at {b.expected:.2f} ({b.rows} rows)" for b in bins)
    return inline(out, f"Mean gold score at the judge's expected score: {told}")
