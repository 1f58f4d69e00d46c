"""The plots of "How the selection changed", in the manner of plots.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from p2i_ray.report.page import percent
from p2i_ray.report.plots import DROPPED, INK, KEPT, LINE, canvas, inline

ASIDE = "#e0a458"
BAR = 0.3  # width; rounds are 1 apart


class Stage(NamedTuple):
    """The outcome of the rows that a round scored."""

    title: str
    rows: int
    kept: int | None  # none: not selected yet
    set_aside: int

    @property
    def dropped(self) -> int:
        """Judged and not kept; rows without a score are set aside."""
        return max(0, self.rows - (self.kept or 0) - self.set_aside)


class Places(NamedTuple):
    """Heights of a bar's labels, in rows: the middles of two beside it, and the foot of the one above."""

    kept: float
    dropped: float
    judged: float


def label_places(stage: Stage, gap: float) -> Places:
    """The places of a bar's labels: at its parts, where these leave them room, else above one another.

    Args:
        stage: the bar.
        gap: the height of a line of text, in rows.
    """
    if stage.kept is None:
        return Places(0, 0, stage.rows)
    half = gap if stage.set_aside else gap / 2  # of the label of what was dropped, which may have two lines
    kept = max(stage.kept / 2, gap / 2)
    part = stage.kept + (stage.rows - stage.kept) / 2
    dropped = max(min(part, stage.rows - half), kept + gap / 2 + half)
    return Places(kept, dropped, max(stage.rows, dropped + half))


def flow_plot(stages: Sequence[Stage]) -> Markup:
    """Plot a bar for each round, kept below dropped; the kept rows are joined to the next bar."""
    most = max(1, *(stage.rows for stage in stages))
    gap = 0.11 * most  # the height of a line
    with canvas(1.75 * len(stages) + 0.15, 2.7) as (figure, out):
        axes = figure.subplots()
        for x, stage in enumerate(stages):
            left, right = x - BAR / 2, x + BAR / 2
            places = label_places(stage, gap)
            axes.annotate(
                f"{stage.rows:,} judged",
                (x, places.judged),
                xytext=(0, 4),
                fontsize=10,
                ha="center",
                textcoords="offset points",
                color=INK,
            )
            if stage.kept is None:
                axes.bar(x, stage.rows, BAR, color=LINE, alpha=0.4)
                continue
            parts = ((stage.kept, KEPT), (stage.dropped, DROPPED), (stage.set_aside, ASIDE))
            bottom = 0
            for rows, colour in parts:
                axes.bar(x, rows, BAR, bottom=bottom, color=colour)
                bottom += rows
            if x + 1 < len(stages):
                axes.fill_between(
                    [right, x + 1 - BAR / 2], [stage.kept, stages[x + 1].rows], color=KEPT, alpha=0.16, linewidth=0
                )
            aside = f"\n{stage.set_aside:,} set aside" if stage.set_aside else ""
            axes.text(right + 0.05, places.kept, f"{stage.kept:,} kept", va="center", fontsize=10, weight="bold")
            axes.text(right + 0.05, places.dropped, f"{stage.dropped:,} dropped{aside}", va="center", fontsize=10)
            axes.plot([left, right], [0, 0], color=INK, linewidth=0.6)
        axes.set_xlim(-BAR / 2 - 0.2, len(stages) - 1 + BAR / 2 + 0.62)
        axes.set_ylim(0, 1.12 * most)
        axes.set_xticks(range(len(stages)), [stage.title.lower() for stage in stages])
        axes.set_yticks([])
        axes.tick_params(axis="x", length=0, labelsize=10)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
    return inline(out, f"Rows from round to round. {'; '.join(map(_told, stages))}")


def _told(stage: Stage) -> str:
    after = "not selected yet" if stage.kept is None else f"{stage.kept} kept, {stage.dropped} dropped"
    return f"{stage.title}: {stage.rows} judged, {after}, {stage.set_aside} set aside"


def flaw_plot(title: str, shares: Mapping[str, Mapping[str, float | None]], most: float) -> Markup:
    """Plot the fractions of a round's kept and dropped photos that show each flaw: two bars a flaw.

    Args:
        title: the round.
        shares: flaw -> {kept, dropped}, shares 0..1; null where there are no such photos.
        most: the largest share of all rounds: they are drawn on one scale.
    """
    with canvas(3.4, 0.3 + 0.46 * len(shares)) as (figure, out):
        axes = figure.subplots()
        for y, groups in enumerate(shares.values()):
            for offset, group, colour in ((-0.19, "kept", KEPT), (0.19, "dropped", DROPPED)):
                share = groups[group]
                axes.barh(y + offset, share or 0, 0.34, color=colour)
                axes.annotate(
                    percent(share),
                    (share or 0, y + offset),
                    xytext=(4, 0),
                    fontsize=8,
                    va="center",
                    textcoords="offset points",
                )
        axes.set_yticks(range(len(shares)), list(shares))
        axes.set_ylim(len(shares) - 0.5, -0.5)  # the first on top
        axes.set_xlim(0, 1.2 * max(most, 0.05))
        axes.set_xticks([])
        axes.tick_params(axis="y", length=0, labelsize=9)
        axes.spines["bottom"].set_visible(False)
    told = "; ".join(
        f"{flaw}: {percent(groups['kept'])} of kept, {percent(groups['dropped'])} of dropped"
        for flaw, groups in shares.items()
    )
    return inline(out, f"{title}, photos that show a flaw. {told}")
