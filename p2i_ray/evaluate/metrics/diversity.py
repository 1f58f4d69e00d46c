"""Diversity: how far the generated backgrounds differ from each other, in CLIP's features.

100 (1 - mean cosine) over all pairs of two rows' backgrounds, product removed: 0 if all are the same, up to 100 where
they have nothing in common (200 at most, for opposite features); higher is more diverse. Rows are of different
products: compare only models that painted the same ones.
"""

from __future__ import annotations

from p2i_ray.evaluate.metrics import bootstrap, mmd
from p2i_ray.evaluate.metrics.batch import Batch, Features, normalised
from p2i_ray.evaluate.metrics.metric import enough


class Diversity:
    """A metric of the generated side alone."""

    def __init__(self) -> None:
        self._features: list[Features] = []

    def add_real(self, batch: Batch) -> None:
        """Real pictures don't count."""

    def add_generated(self, batch: Batch) -> None:
        """See Metric."""
        self._features.append(batch.background_clip)

    def figures(self) -> dict[str, float]:
        """See Metric."""
        enough("diversity", mmd.FEWEST, generated=sum(map(len, self._features)))
        features = normalised(bootstrap.ordered(self._features))
        cosines = mmd.mean_within(features, lambda x, y: x @ y.T, bootstrap.weights(len(features)))
        return bootstrap.interval("diversity", 100 * (1 - cosines))
