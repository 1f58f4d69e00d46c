"""The plot of "Timeline", in the manner of plots.py: what was done when, and beneath it how busy each node was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from p2i_ray.console.durations import duration
from p2i_ray.report.page import percent
from p2i_ray.report.plots import INK, canvas, inline
from p2i_ray.run.utilization import UtilizationSample, coarser, mean

# Kind of work -> its colour.
COLOURS = {
    "judging": "#3b7ddd",
    "training": "#2f9e6e",
    "painting": "#b8558f",
    "measuring": "#8672c4",
    "start of engines": "#e0a458",
    "ahead of time": "#5aa9b8",
}
CPU, GPU = "#7d8aa0", "#d1603d"
WIDTH = 10.0  # inches
SHORT = 0.03  # a longer pause between two attempts is drawn as long as this share of all the work
NODES = 8  # that are drawn
POINTS = 400  # of a node: more can't be told apart
MINUTES = (0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 960, 1440)  # between two ticks


class Bar(NamedTuple):
    """Something that was done; times are UTC, in epoch seconds."""

    row: str
    kind: str
    round: int
    began: float
    ended: float
    cut: bool = False  # its driver was killed or failed in it


class Clock:
    """From epoch seconds to seconds on the plot, on which long pauses between attempts are short.

    Args:
        attempts: (begin, end) of each.
    """

    def __init__(self, attempts: Sequence[tuple[float, float]]) -> None:
        worked = sum(end - begin for begin, end in attempts)
        self.pauses: list[tuple[float, float]] = []  # of any length
        self._points = [(attempts[0][0], 0.0)]  # (epoch, plot), between which the clock goes evenly
        end = attempts[0][0]
        for next_begin, next_end in attempts:
            pause = max(0.0, next_begin - end)
            if pause:
                self.pauses.append((end, next_begin))
            if next_end > end:
                at = self._points[-1][1] + min(pause, SHORT * worked)
                begin = max(next_begin, end)
                self._points += [(begin, at), (next_end, at + next_end - begin)]
                end = next_end
        self.length = self._points[-1][1]
        self.shortened = any(end - begin > SHORT * worked for begin, end in self.pauses)

    def at(self, when: float) -> float:
        """Seconds on the plot."""
        for (begin, low), (end, high) in zip(self._points, self._points[1:], strict=False):
            if when <= end:
                return low + (high - low) * max(0.0, when - begin) / (end - begin) if end > begin else low
        return self.length


def timeline_plot(
    attempts: Sequence[tuple[float, float]], bars: Sequence[Bar], moments: Sequence[UtilizationSample]
) -> Markup:
    """A row a step, with a bar for every time that it ran; then a strip a node.

    Args:
        attempts: (begin, end) of each, the oldest first.
        bars: what was done; a row is where its first bar is.
        moments: how busy the nodes were, by time.
    """
    clock, rows, names = Clock(attempts), list(dict.fromkeys(bar.row for bar in bars)), node_names(moments)
    shown, coarse = list(names)[:NODES], coarser(moments, POINTS)
    heights = [0.26 * len(rows) + 0.3, *(0.5 for _ in shown)]
    with canvas(WIDTH, sum(heights) + 0.5) as (figure, out):
        panels = figure.subplots(len(heights), sharex=True, height_ratios=heights, squeeze=False)[:, 0]
        _draw_bars(panels[0], clock, rows, bars)
        for axes, node in zip(panels[1:], shown, strict=True):
            _draw_node(axes, clock, names[node], [moment for moment in coarse if moment.node == node])
        for axes in panels:
            axes.set_xlim(0, max(clock.length, 1e-3))
            axes.tick_params(axis="x", length=0, labelsize=8)
            for begin, end in clock.pauses:
                axes.axvspan(clock.at(begin), clock.at(end), color=INK, alpha=0.09, linewidth=0)
        step = 60 * next((each for each in MINUTES if clock.length / 60 / each <= 10), MINUTES[-1])
        ticks = [step * tick for tick in range(int(clock.length // step) + 1)]
        panels[-1].set_xticks(ticks, [f"{tick / 60:g}" for tick in ticks])
        panels[-1].tick_params(axis="x", length=3)
        panels[-1].set_xlabel(
            "minutes; long pauses between attempts are drawn short" if clock.shortened else "minutes", fontsize=9
        )
    return inline(out, told(bars, clock.pauses, names, moments))


def node_names(moments: Sequence[UtilizationSample]) -> dict[str, str]:
    """The name of each node, by its id and in the order of their coming: its host, if no other has the same."""
    hosts = {moment.node: moment.host for moment in moments}
    many = {host for host in hosts.values() if list(hosts.values()).count(host) > 1}
    return {node: f"{host} {node}" if host in many else host for node, host in hosts.items()}


def _draw_bars(axes: Any, clock: Clock, rows: Sequence[str], bars: Sequence[Bar]) -> None:
    for bar in bars:
        left, right = clock.at(bar.began), clock.at(bar.ended)
        width = max(right - left, clock.length / 600)  # what is too short to be seen is seen all the same
        style = {"alpha": 0.45, "hatch": "////", "edgecolor": INK, "linewidth": 0} if bar.cut else {}
        axes.barh(rows.index(bar.row), width, 0.66, left, color=COLOURS[bar.kind], **style)
    for number in sorted({bar.round for bar in bars if bar.kind not in ("start of engines", "ahead of time")}):
        steps = [
            bar for bar in bars if bar.round == number and bar.kind in ("judging", "training", "painting", "measuring")
        ]
        left, right = clock.at(min(bar.began for bar in steps)), clock.at(max(bar.ended for bar in steps))
        if number % 2:
            axes.axvspan(left, right, color=INK, alpha=0.045, linewidth=0, zorder=0)
        if right - left > 0.055 * clock.length:
            name = f"round {number}" if number else "before"
            axes.annotate(
                name,
                ((left + right) / 2, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                fontsize=9,
                ha="center",
            )
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.4, -0.6)  # the first on top
    axes.tick_params(axis="y", length=0, labelsize=9)


def _draw_node(axes: Any, clock: Clock, name: str, moments: Sequence[UtilizationSample]) -> None:
    """CPUs as an area, GPUs as a line; both break where the node wasn't seen."""
    for stretch in _unbroken(moments):
        x = [clock.at(moment.began + moment.seconds / 2) for moment in stretch]
        cpu, gpu = ([_known(share) for share in shares] for shares in zip(*(m.use[:2] for m in stretch), strict=True))
        axes.fill_between(x, cpu, color=CPU, alpha=0.4, linewidth=0)
        axes.plot(x, cpu, color=CPU, linewidth=0.8)
        if any(moment.use.gpus for moment in stretch):
            axes.plot(x, gpu, color=GPU, linewidth=1.3)
    axes.set_ylim(0, 1.05)
    axes.set_yticks([0.5], [name])
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.spines["left"].set_visible(False)


def _known(share: float | None) -> float:
    return math.nan if share is None else share


def _unbroken(moments: Sequence[UtilizationSample]) -> list[list[UtilizationSample]]:
    stretches: list[list[UtilizationSample]] = []
    for moment in moments:
        last = stretches[-1][-1] if stretches else None
        if last is None or moment.began - last.began > 3 * max(last.seconds, moment.seconds):
            stretches.append([])
        stretches[-1].append(moment)
    return stretches


def told(
    bars: Sequence[Bar],
    pauses: Sequence[tuple[float, float]],
    names: dict[str, str],
    moments: Sequence[UtilizationSample],
) -> str:
    """The plot in words."""
    spent: dict[str, float] = {}
    for bar in bars:
        spent[bar.row] = spent.get(bar.row, 0.0) + bar.ended - bar.began
    parts = [", ".join(f"{row} {duration(seconds)}" for row, seconds in spent.items())]
    parts += [f"a pause of {duration(end - begin)} between two attempts" for begin, end in pauses]
    for node, name in names.items():
        use = mean([moment.use for moment in moments if moment.node == node])
        gpus = f", GPUs {percent(use.gpu)}" if use.gpus else ""
        parts.append(f"{name}: CPUs at work {percent(use.cpu)} of the time{gpus}")
    return f"Timeline of the run. {'; '.join(parts)}"
