"""Category compactness: how tightly the backgrounds of each category lie together, in CLIP's features.

The mean silhouette (Rousseeuw 1987) of the backgrounds, product removed, with their categories as clusters: for each
picture (b - a) / max(a, b), where a is its mean distance to the others of its category and b that to the nearest other
category. Distances are 1 - cosine. From -1 to 1: 1 where categories are tight and apart, 0 where they overlap. It
stands for the sibling paper's t-SNE figure. A picture alone in its category counts 0, as is usual. The interval draws
pictures whose silhouettes are given: it is too narrow where few pictures make a category.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from p2i_ray.errors import UserError
from p2i_ray.evaluate.metrics import bootstrap
from p2i_ray.evaluate.metrics.batch import Batch, Features, normalised
from p2i_ray.evaluate.metrics.metric import enough

NAME = "category_compactness"
FEWEST = 10


class CategoryCompactness:
    """A metric of the generated side alone."""

    def __init__(self) -> None:
        self._features: list[Features] = []
        self._categories: list[str] = []

    def add_real(self, batch: Batch) -> None:
        """Real pictures don't count."""

    def add_generated(self, batch: Batch) -> None:
        """See Metric."""
        self._features.append(batch.background_clip)
        self._categories += [row.category for row in batch.rows]

    def figures(self) -> dict[str, float]:
        """See Metric.

        Raises:
            UserError: too few pictures, or all of one category.
        """
        enough(NAME, FEWEST, generated=len(self._categories))
        if len(set(self._categories)) < 2:
            raise UserError(
                f"{NAME} compares categories, and all pictures are of {self._categories[0]!r}; leave it out of methods"
            )
        values = silhouettes(np.concatenate(self._features), self._categories)
        return bootstrap.of_mean(NAME, np.sort(values))  # batches come in any order


def silhouettes(features: Features, clusters: list[str]) -> NDArray[np.float64]:
    """The silhouette of each row (N,), with distances of 1 - cosine.

    Args:
        features: (N, D), not necessarily normalised.
        clusters: of the N rows, at least two different ones.
    """
    directions = normalised(features)
    distances = 1 - directions @ directions.T  # (N, N)
    np.fill_diagonal(distances, 0)  # not to rounding
    names, places = np.unique(clusters, return_inverse=True)
    members = np.eye(len(names))[places]  # (N, C)
    counts = members.sum(axis=0)  # (C,)
    sums = distances @ members  # (N, C), to all of a cluster
    rows = np.arange(len(places))
    own = counts[places]
    within = sums[rows, places] / np.maximum(own - 1, 1)
    means = sums / counts
    means[rows, places] = np.inf
    between = means.min(axis=1)
    larger = np.maximum(within, between)
    values = np.divide(between - within, larger, out=np.zeros(len(places)), where=larger > 0)
    return np.where(own > 1, values, 0.0)
