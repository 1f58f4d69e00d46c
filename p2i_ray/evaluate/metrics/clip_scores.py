"""CLIP-c-I and CLIP-c-B (section 5.1.3): how near a picture, or its background, is to its product in CLIP's eyes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional
from torchmetrics import MeanMetric


class ClipScore(MeanMetric):
    """100 x the mean cosine between two features of the same row, -100..100; higher is better.

    CLIP-c-I compares the painted picture I with the product c, CLIP-c-B the painted background B (product removed)
    with the product c. What is missing, around the product or where it was, is grey.
    """

    def update(self, painted: Tensor, product: Tensor) -> None:
        """Add rows: (B, D) and (B, D), not necessarily normalised."""
        super().update(100 * functional.cosine_similarity(painted.double(), product.double(), dim=-1))
