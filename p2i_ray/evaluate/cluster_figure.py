"""The figure of clusters as a PNG: painted backgrounds around the centres of their categories.

Centres may lie as near to each other as they like, so each has a number at the end of a thin line, and a list beside
the figure says which category that is.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p2i_ray.evaluate.clusters import Points, layout
from p2i_ray.evaluate.label_places import Size, places
from p2i_ray.evaluate.metrics.category_distance import NAME

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "^sDPXv"  # the paper's are triangles and rectangles
COLOURS = 20  # then they begin anew; the numbers don't
TITLE = "Painted backgrounds around the centres of their categories' real ones (t-SNE of CLIP's features)"
RADIUS = 7.5  # of a centre's mark, points
LETTER, LINE = 5.5, 10.5  # a digit's width and a line's height, points
LISTED = 32  # categories in a column of the list
DPI = 110


def draw(found: Points, labels: Mapping[str, str]) -> bytes:
    """The figure as a PNG.

    Args:
        found: what is drawn.
        labels: of the evaluations, with their category_distance, for the legend.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    centres, placed = layout(found)
    colours = colormaps["tab20"].resampled(COLOURS)
    colour = {name: colours(place % COLOURS) for place, name in enumerate(found.categories)}
    figure = Figure(figsize=(11, 7.5), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    for place, (folder, where) in enumerate(placed.items()):
        of_each = [colour[name] for name in found.painted[folder][1]]
        marker = MARKERS[place % len(MARKERS)]
        axes.scatter(where[:, 0], where[:, 1], c=of_each, marker=marker, s=22, alpha=0.75, linewidths=0)
        axes.scatter([], [], c="grey", marker=marker, s=22, label=labels[folder])
    ring = [colour[name] for name in found.categories]
    axes.scatter(centres[:, 0], centres[:, 1], c=ring, marker="o", s=170, edgecolors="black", linewidths=1.2, zorder=3)
    axes.scatter([], [], c="white", marker="o", s=90, edgecolors="black", label="centre of the real backgrounds")
    axes.set(xticks=[], yticks=[])
    axes.set_title(TITLE, fontsize=11)
    title = f"{NAME}: lower is nearer"
    figure.legend(loc="outside lower center", ncols=2, fontsize=9, title=title, title_fontsize=9)
    _list(figure, colour)
    _number(figure, axes, centres)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _list(figure: Figure, colour: Mapping[str, Any]) -> None:
    """Beside the figure, the category of each number."""
    from matplotlib.lines import Line2D

    def mark(place: int, name: str) -> Line2D:
        style: dict[str, Any] = {"marker": "o", "markersize": 8, "linestyle": "", "markeredgecolor": "black"}
        return Line2D([], [], markerfacecolor=colour[name], label=f"{place}  {name}", **style)

    marks = [mark(place, name) for place, name in enumerate(colour, start=1)]
    figure.legend(
        handles=marks, loc="outside right upper", fontsize=9, title="categories", ncols=-(-len(marks) // LISTED)
    )


def _number(figure: Figure, axes: Axes, centres: NDArray[np.float64]) -> None:
    """Write each centre's number beside it, where no other number and no centre is."""
    figure.draw_without_rendering()  # the layout, on which distances depend
    points = np.asarray(axes.transData.transform(centres), np.float64) * 72 / figure.dpi
    texts = [str(place) for place in range(1, len(centres) + 1)]
    found = places(points, [Size(LETTER * len(text) + 2, LINE) for text in texts], RADIUS)
    for text, at, away in zip(texts, centres, found - points, strict=True):
        note = axes.annotate(
            text,
            (at[0], at[1]),
            xytext=(away[0], away[1]),
            textcoords="offset points",
            fontsize=9,
            fontweight="bold",
            ha="center",
            va="center",
            zorder=5,
            arrowprops={"arrowstyle": "-", "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0, "zorder": 2.5},
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        )
        note.set_in_layout(False)  # which has been worked out
