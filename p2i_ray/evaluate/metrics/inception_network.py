"""The original Inception v3 (2015), whose 2048 pooled features the Frechet and kernel Inception distances take."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from p2i_ray.data.images import Pixels
from p2i_ray.evaluate.metrics import weights_file
from p2i_ray.evaluate.metrics.clean_resize import bicubic

SIDE = 299  # pixels
STAGES = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool_2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    *("Mixed_7a", "Mixed_7b", "Mixed_7c", "AvgPool"),
)


class CleanInception(nn.Module):
    """Inception on pictures that are resized by clean-fid's convention.

    Args:
        weights: torch-fidelity's conversion of the weights; see evaluate/inception.py.

    Raises:
        UserError: the file can't be loaded.
    """

    def __init__(self, weights: Path) -> None:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        super().__init__()
        with plain_weights(weights) as copy:
            whole = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(copy))
        self.stages = nn.Sequential(*(getattr(whole, name) for name in STAGES))
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, pictures: Sequence[Pixels]) -> Tensor:
        """The features (B, 2048) of B pictures (H, W, 3), uint8."""
        device = next(self.parameters()).device
        levels = torch.from_numpy(bicubic(pictures, SIDE)).to(device)  # (B, 3, 299, 299), 0..255
        features: Tensor = self.stages((levels - 128) / 128)
        return features.flatten(1)


@contextmanager
def plain_weights(file: Path) -> Iterator[Path]:
    """A copy of a file of pickled weights that holds tensors and nothing else, while the block runs.

    torch-fidelity unpickles whatever it is given; what is read here are tensors alone (weights_only).

    Raises:
        UserError: the file holds more than tensors, or can't be read.
    """
    tensors = weights_file.unpickled(file, str(file))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "weights.pth")
        torch.save(tensors, copy)
        yield copy
