"""The sibling paper's t-SNE figure: where painted backgrounds lie around the centres of their categories' real ones.

Features are CLIP's, of backgrounds with the product removed, as `category_distance` has left them beside an
evaluation's figures. All evaluations and the centres are embedded at once, so that they can be compared in one picture;
where points lie in it, and how far apart clusters are, says nothing by itself: the number is category_distance.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from p2i_ray.errors import UserError
from p2i_ray.evaluate import picture_values
from p2i_ray.evaluate.metrics.batch import Features, normalised
from p2i_ray.evaluate.metrics.category_distance import NAME
from p2i_ray.evaluate.picture_values import GENERATED, REAL
from p2i_ray.storage import locations, parquet

PERPLEXITY = 30  # sklearn's, less where there are few points
FEWEST = 10  # points that t-SNE is asked to lay out


class Points(NamedTuple):
    """The points to draw."""

    categories: list[str]  # that are shown, C
    centres: Features  # (C, D), of real backgrounds
    painted: dict[str, tuple[Features, list[str]]]  # by evaluation: (N, D) and the category of each


def points(folders: Sequence[str], most: int) -> Points:
    """Read what evaluations have left.

    Args:
        folders: of evaluations of one split, the real pictures of the first are the centres.
        most: categories that are shown, those with most painted pictures.

    Raises:
        UserError: an evaluation was made without category_distance, or there are too few pictures.
    """
    read = {folder: _read(folder) for folder in folders}
    counts = Counter(name for _, names in (sides[GENERATED] for sides in read.values()) for name in names)
    features, known = read[folders[0]][REAL]
    there = set(known)
    shown = [name for name, _ in sorted(counts.items(), key=lambda one: (-one[1], one[0])) if name in there][:most]
    labels = np.array(known)
    centres = [features[labels == name].mean(axis=0) for name in shown]
    painted = {}
    for folder, sides in read.items():
        own, names = sides[GENERATED]
        keep = [place for place, name in enumerate(names) if name in shown]
        painted[folder] = own[keep], [names[place] for place in keep]
    count = sum(len(names) for _, names in painted.values()) + len(shown)
    if count < FEWEST or not shown:
        also = [name for name in counts if name in there]
        more = f", or show more of the {len(also)} categories by categories=" if len(also) > len(shown) else ""
        raise UserError(f"the figure needs {FEWEST} points, and there are {count}; evaluate more pictures{more}")
    return Points(shown, np.stack(centres), painted)


def _read(folder: str) -> Mapping[str, tuple[Features, list[str]]]:
    """Normalised features and categories of both sides; real rows that weren't painted have no known category."""
    sides = picture_values.read_features(folder, NAME)
    if sides is None:
        raise UserError(
            f"{folder} has no features of backgrounds; give the command that made it again with methods={NAME}, which "
            "adds them and paints nothing"
        )
    names = json.loads(locations.read_text(locations.join(folder, "generated.json")))["files"]
    table = parquet.read_parquet(locations.join(folder, "generated"), names, columns=["id", "category"])
    category = dict(zip(table["id"].to_pylist(), table["category"].to_pylist(), strict=True))
    found = {}
    for side, (ids, features) in sides.items():
        keep = [place for place, id_ in enumerate(ids) if category.get(id_)]
        found[side] = normalised(features[keep]), [category[ids[place]] for place in keep]
    return found


def layout(found: Points, seed: int = 0) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Places of the centres (C, 2), and of each evaluation's pictures (N, 2), by t-SNE. The seed fixes the picture."""
    from sklearn.manifold import TSNE

    every = np.concatenate([found.centres, *(features for features, _ in found.painted.values())])
    perplexity = min(PERPLEXITY, (len(every) - 1) / 3)
    placed = TSNE(metric="cosine", init="random", perplexity=perplexity, random_state=seed).fit_transform(every)
    ends = np.cumsum([len(found.centres), *(len(features) for features, _ in found.painted.values())])
    centres, *parts = np.split(np.asarray(placed, np.float64), ends[:-1])
    return centres, dict(zip(found.painted, parts, strict=True))
