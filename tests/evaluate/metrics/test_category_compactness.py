"""Category compactness: silhouettes by their definition, row by row, and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from p2i_ray.errors import UserError
from p2i_ray.evaluate.metrics.category_compactness import CategoryCompactness, silhouettes


class Generated:
    """What the metric looks at of a batch."""

    def __init__(self, features: Any, categories: list[str]) -> None:
        self.background_clip = np.asarray(features, float)
        self.rows = [type("Row", (), {"category": category})() for category in categories]


def measured(*batches: Generated) -> dict[str, float]:
    metric = CategoryCompactness()
    for batch in batches:
        metric.add_generated(batch)  # type: ignore[arg-type]
    return metric.figures()


def by_definition(features: Any, clusters: list[str]) -> list[float]:
    distances = cdist(features, features, "cosine")
    found = []
    for i, cluster in enumerate(clusters):
        means = {
            name: np.mean([distances[i, j] for j in range(len(clusters)) if clusters[j] == name and j != i])
            for name in set(clusters)
            if any(clusters[j] == name and j != i for j in range(len(clusters)))
        }
        if cluster not in means:
            found.append(0.0)
            continue
        within, between = means[cluster], min(value for name, value in means.items() if name != cluster)
        found.append((between - within) / max(within, between))
    return found


def test_silhouettes_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(3)
    clusters = [f"kind {number}" for number in rng.integers(5, size=40)] + ["alone"]
    features = rng.normal(size=(41, 6))
    np.testing.assert_allclose(silhouettes(features, clusters), by_definition(features, clusters), atol=1e-12)


def test_by_hand() -> None:
    features = [[1, 0], [2, 0], [0, 1], [0, 3]]  # two directions, whatever their length
    assert silhouettes(np.array(features, float), ["a", "a", "b", "b"]).tolist() == [1, 1, 1, 1]
    mixed = silhouettes(np.array(features, float), ["a", "b", "a", "b"])  # a: 1; b: (0 + 1) / 2
    assert mixed.tolist() == [-0.5] * 4
    assert silhouettes(np.ones((4, 2)), ["a", "a", "b", "b"]).tolist() == pytest.approx([0] * 4)


def test_batches_come_in_any_order() -> None:
    rng = np.random.default_rng(0)
    first, second = (Generated(rng.normal(size=(8, 4)), ["a", "b"] * 4) for _ in range(2))
    found = measured(first, second)
    assert found == pytest.approx(measured(second, first))
    assert found["category_compactness_low"] < found["category_compactness"] < found["category_compactness_high"]


def test_what_it_needs() -> None:
    with pytest.raises(UserError, match="category_compactness needs 10 pictures; there are 4 generated"):
        measured(Generated(np.ones((4, 2)), ["a", "b"] * 2))
    with pytest.raises(UserError, match="all pictures are of 'a'; leave it out of methods"):
        measured(Generated(np.ones((12, 2)), ["a"] * 12))
