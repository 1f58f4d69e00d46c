"""The report's plots as inline SVG: they take the page's text colour, so they fit a light and a dark page."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup, escape

KEPT, DROPPED, LINE = "#2f9e6e", "#9aa3ad", "#3b7ddd"
INK = "#010203"  # stands for the page's text colour until the SVG is written


def metric_plot(label: str, rounds: Sequence[str], values: Sequence[float], lower_is_better: bool) -> Markup:
    """Plot one metric over the rounds, each value written at its point.

    Args:
        label: the metric's name.
        rounds: what each value belongs to.
        values: one a round.
        lower_is_better: for the text that stands for the picture.
    """
    with canvas(3.4, 2.2) as (figure, out):
        axes = figure.subplots()
        axes.plot(range(len(values)), values, color=LINE, marker="o", linewidth=2, markersize=5)
        for x, value in enumerate(values):
            neighbours = [*values[max(x - 1, 0) : x], *values[x + 1 : x + 2]]
            below = len(neighbours) > 0 and value < sum(neighbours) / len(neighbours)  # where the line leaves room
            axes.annotate(
                f"{value:.2f}",
                (x, value),
                xytext=(0, -15 if below else 7),
                textcoords="offset points",
                ha="center",
                fontsize=9,
            )
        axes.set_xticks(range(len(values)), rounds)
        axes.set_xlim(-0.4, len(values) - 0.6)
        axes.margins(y=0.3)
        if min(values) >= 0:  # the room below is for a label: a distance has no figures there
            lowest, highest = axes.get_ylim()
            axes.set_yticks([tick for tick in axes.get_yticks() if max(0, lowest) <= tick <= highest])
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", labelsize=8)
        axes.grid(axis="y", alpha=0.2)
    told = ", ".join(f"{name}: {value:.2f}" for name, value in zip(rounds, values, strict=True))
    return inline(out, f"{label}, {'lower' if lower_is_better else 'higher'} is better. {told}")


def score_plot(title: str, scores: pa.Table, *, gamma: float, threshold_on: str, ranked: bool = False) -> Markup:
    """Plot histograms of the scores, kept and dropped stacked: whole scores above, expected scores below.

    Args:
        title: the round.
        scores: columns score, expected_score, kept; null scores are not drawn.
        gamma: the lowest score that is kept, drawn as a line where it applies.
        threshold_on: the column that gamma is compared with.
        ranked: whether the highest expected scores are kept instead; the lowest of them is marked.
    """
    mark = _cut(scores) if ranked else _mark(gamma, threshold_on)
    kept = scores["kept"].to_numpy(zero_copy_only=False).astype(bool)
    panels = {
        "score": ("score", np.arange(0.5, 6), 0.8),
        "expected_score": ("expected score", np.arange(0.875, 5.2, 0.25), 0.92),
    }
    counts = {}
    with canvas(3.4, 3.6) as (figure, out):
        for axes, (column, (label, edges, width)) in zip(figure.subplots(2), panels.items(), strict=True):
            values = scores[column].to_numpy(zero_copy_only=False).astype(float)
            middles, step = (edges[1:] + edges[:-1]) / 2, (edges[1] - edges[0]) * width
            yes, no = (np.histogram(values[mask & ~np.isnan(values)], edges)[0] for mask in (kept, ~kept))
            axes.bar(middles, no, step, color=DROPPED, label="dropped")
            axes.bar(middles, yes, step, bottom=no, color=KEPT, label="kept")
            if mark and column == mark.column:
                axes.axvline(mark.at, color=INK, linestyle="--", linewidth=1.2)
                axes.annotate(
                    mark.text,
                    (mark.at, 1),
                    xycoords=("data", "axes fraction"),
                    xytext=(-4, -9),
                    textcoords="offset points",
                    ha="right",
                    fontsize=8,
                )
            axes.set(xlim=(0.5, 5.5), xticks=range(1, 6))
            axes.set_xlabel(label, fontsize=9)
            axes.tick_params(labelsize=8)
            axes.set_axisbelow(True)
            axes.grid(axis="y", alpha=0.2)
            counts[column] = yes + no
    told = ", ".join(f"score {i}: {n} rows" for i, n in enumerate(counts["score"], 1))
    if mark:
        told = f"{told}; {mark.text}"
    return inline(out, f"{title}, scores of {len(kept)} rows, {int(kept.sum())} kept. {told}")


class _Mark(NamedTuple):
    column: str
    at: float
    text: str


def _mark(gamma: float, threshold_on: str) -> _Mark:
    return _Mark(threshold_on, gamma - 0.5 if threshold_on == "score" else gamma, f"γ = {gamma:g}")


def _cut(scores: pa.Table) -> _Mark | None:
    lowest = pc.min(scores.filter(scores["kept"])["expected_score"]).as_py()
    return None if lowest is None else _Mark("expected_score", lowest, f"cut at {lowest:.2f}")


@contextmanager
def canvas(width: float, height: float) -> Iterator[tuple[Any, io.StringIO]]:
    """Yield a figure and a buffer, to which it is written at the end; sizes in inches."""
    import matplotlib
    from matplotlib.figure import Figure

    out = io.StringIO()
    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color")
    settings: Any = dict.fromkeys(inked, INK)
    settings |= {"svg.fonttype": "none", "svg.hashsalt": "p2i_ray", "text.parse_math": False, "axes.linewidth": 0.6}
    with matplotlib.rc_context({**settings, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, out
        no_date = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", transparent=True, metadata=no_date)


def inline(out: io.StringIO, told: str) -> Markup:
    """The SVG element alone, in the page's colour and type, with a text that stands for it."""
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<(metadata|defs)>\s*(<rdf:RDF.*?|<style.*?)</\1>", "", svg, flags=re.DOTALL)
    mark = hashlib.sha256(svg.encode()).hexdigest()[:8]  # ids must differ from those of the page's other plots
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{mark}-", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{escape(told)}" ', 1))
