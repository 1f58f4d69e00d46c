"""FID (section 5.1.3): the Frechet distance between Gaussians fitted to features of generated and of real pictures.

Lower is better. The distance depends on the features and on the number of pictures: compare only values that share
both. With fewer pictures than features it is biased upwards. For Inception, torchmetrics resizes pictures (bilinear,
filtered): the figure is neither the original's nor clean-fid's. fid_clean can be compared with published ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance

from p2i_ray.data.images import Pixels
from p2i_ray.evaluate.metrics.clip_encoder import ClipEncoder
from p2i_ray.evaluate.metrics.inception_network import plain_weights

INCEPTION_FEATURES = 2048


class Prepare(Protocol):
    """Preprocessing for a metric's `update`."""

    def __call__(self, pictures: Sequence[Pixels]) -> Tensor:
        """Turn B pictures (H, W, 3), uint8, into one tensor (B, 3, h, w)."""
        ...


def clip_fid(encoder: ClipEncoder) -> tuple[FrechetInceptionDistance, Prepare]:
    """FID in CLIP's features (projected, not normalised), and its preprocessing."""
    return FrechetInceptionDistance(feature=encoder, normalize=True), encoder.prepare


def inception_fid(weights: Path) -> tuple[FrechetInceptionDistance, Prepare]:
    """FID in the 2048 pooled features of the original Inception v3, and its preprocessing.

    Args:
        weights: torch-fidelity's conversion of the weights; see evaluate/inception.py.

    Raises:
        UserError: the file can't be loaded.
    """
    with plain_weights(weights) as copy:
        metric = FrechetInceptionDistance(feature=INCEPTION_FEATURES, feature_extractor_weights_path=str(copy))
    return metric, stack


def stack(pictures: Sequence[Pixels]) -> Tensor:
    """Stack pictures of one size into (B, 3, H, W) uint8, 0..255; the metric itself resizes them to 299 x 299."""
    return torch.stack([torch.tensor(picture).permute(2, 0, 1) for picture in pictures])
