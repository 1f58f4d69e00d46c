"""CLIP-c-I and CLIP-c-B (section 5.1.3): CLIP similarity of a picture, or its background, to its product."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from p2i_ray.evaluate.metrics import bootstrap


class ClipScore:
    """100 x the mean cosine between two features of the same row, -100..100; higher is better.

    CLIP-c-I compares the generated picture I with the product c, CLIP-c-B the generated background B (product removed)
    with the product c. Removed parts, around the product or in its place, are grey.
    """

    def __init__(self) -> None:
        self._found: list[NDArray[np.float64]] = []

    def update(self, generated: Tensor, product: Tensor) -> None:
        """Add rows: (B, D) and (B, D), not necessarily normalised."""
        found = 100 * functional.cosine_similarity(generated.double(), product.double(), dim=-1)  # (B,)
        self._found.append(found.cpu().numpy())

    def compute(self) -> float:
        """The mean of the scores of all rows, of which there must be some, in whatever order they came."""
        return float(bootstrap.ordered(self._found).mean())

    @property
    def values(self) -> NDArray[np.float64]:
        """The score of each row, (N,), in the order in which they came."""
        return np.concatenate([np.empty(0), *self._found])
