"""Category distance: how far painted backgrounds are from the centre of their category's real ones, in CLIP's features.

100 (1 - cosine) between a row's background and the mean of the normalised features of the real backgrounds of its
category, product removed on both sides; the mean over rows. Lower is nearer. This is the sibling paper's t-SNE figure
as a number: how closely what is painted lies around the corresponding centre (`jobs/evaluate.py --clusters` draws it).
A row whose category has no real picture is left out and counted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from p2i_ray.evaluate.metrics.batch import Batch, Features, normalised
from p2i_ray.evaluate.metrics.metric import MeanOfValues

NAME = "category_distance"


class CategoryDistance(MeanOfValues):
    """The mean of each row's distance to its category's centre."""

    def __init__(self) -> None:
        super().__init__(NAME)
        self._real: list[Features] = []
        self._generated: list[Features] = []
        self._categories: tuple[list[str], list[str]] = ([], [])  # of generated and of real rows

    def add_real(self, batch: Batch) -> None:
        """See Metric."""
        self._real.append(batch.own_background_clip)
        self._categories[1].extend(row.category for row in batch.real)

    def add_generated(self, batch: Batch) -> None:
        """See Metric."""
        self._generated.append(batch.background_clip)
        self._categories[0].extend(row.category for row in batch.rows)

    @property
    def features(self) -> tuple[Features, Features]:
        """Those of generated and of real backgrounds, in the order in which they came."""
        return np.concatenate(self._generated), np.concatenate(self._real)

    @property
    def values(self) -> NDArray[np.float64]:
        """See MeanOfValues; NaN where a category has no centre."""
        generated, real = map(normalised, self.features)
        categories, known = (np.array(names) for names in self._categories)
        found = np.full(len(generated), np.nan)
        for category in sorted({*categories} & {*known}):
            centre = real[known == category].mean(axis=0)
            rows = categories == category
            found[rows] = 100 * (1 - generated[rows] @ (centre / np.linalg.norm(centre)))
        return found
