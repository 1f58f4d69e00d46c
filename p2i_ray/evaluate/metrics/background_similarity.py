"""Similarity of a painted background to the one that was wanted, by CLIP, product removed on both sides.

`background_similarity` compares with the split's own picture of the same product, which is what the sibling paper's
BG1K asks for; `reference_similarity` with the row's reference, its own product removed, as BG-Pair. Each is 100 times
the cosine, and the mean over rows; rows without a wanted picture are left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from p2i_ray.evaluate.metrics.batch import Batch, Features, normalised
from p2i_ray.evaluate.metrics.metric import MeanOfValues

OWN, REFERENCE = "background_similarity", "reference_similarity"


class WantedSimilarity(MeanOfValues):
    """The mean of each row's similarity to what was wanted of it.

    Args:
        name: of the metric.
        wanted: the ids of a batch of real rows, and the features (B, D) of what is wanted of each.
    """

    def __init__(self, name: str, wanted: Callable[[Batch], tuple[list[str], Features]]) -> None:
        super().__init__(name)
        self._wanted_of = wanted
        self._wanted: dict[str, Features] = {}
        self._ids: list[str] = []
        self._generated: list[Features] = []

    def add_real(self, batch: Batch) -> None:
        """See Metric."""
        ids, features = self._wanted_of(batch)
        self._wanted |= zip(ids, normalised(features), strict=True)

    def add_generated(self, batch: Batch) -> None:
        """See Metric."""
        self._ids += [row.id for row in batch.rows]
        self._generated.append(normalised(batch.background_clip))

    @property
    def values(self) -> NDArray[np.float64]:
        """See MeanOfValues; NaN where nothing was wanted."""
        rows = [row for part in self._generated for row in part]
        pairs = [(row, self._wanted.get(id_)) for row, id_ in zip(rows, self._ids, strict=True)]
        return np.array([np.nan if other is None else 100 * float(row @ other) for row, other in pairs], np.float64)


def own(batch: Batch) -> tuple[list[str], Features]:
    """Ids and features that `background_similarity` compares with."""
    return [row.id for row in batch.real], batch.own_background_clip


def reference(batch: Batch) -> tuple[list[str], Features]:
    """Ids and features that `reference_similarity` compares with: of the rows that have one."""
    return [row.id for row in batch.referred], batch.reference_clip
