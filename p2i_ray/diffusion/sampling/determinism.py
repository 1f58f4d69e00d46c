"""Making a model's rounding independent of how many pictures it is given, on a CPU.

PyTorch's CPU kernels round by the number of rows in two kinds of layers: a linear layer of few rows, which in the UNet
is the time's embedding alone, and convolutions, which one library or another computes depending on the rows. All else
works row by row. (On a GPU any kernel may depend on a batch's shape: there, batches must all have one size.)
"""

from __future__ import annotations

import torch
from torch import nn


def same_for_any_batch(unet: nn.Module, vae: nn.Module) -> None:
    """Change a UNet and a VAE, in float32 on a CPU, so that a row's values depend on nothing else in its batch.

    They are quicker for it, too; their state dicts have other names afterwards.
    """
    _share_time(unet)
    for model in (unet, vae):
        if torch.backends.mkldnn.is_available():  # else there is one library only
            _one_library(model)
        model.to(memory_format=torch.channels_last)


class _Shared(nn.Module):
    """A layer whose input rows are all the same: computed for the first, so that their number doesn't matter."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, rows: torch.Tensor, *more: object) -> torch.Tensor:
        once: torch.Tensor = self.layer(rows[:1], *more)
        return once.expand(len(rows), *once.shape[1:])


def _share_time(unet: nn.Module) -> None:
    """All pictures of a batch are at the same time t: embed it, and project it in each block, once."""
    unet.time_embedding = _Shared(unet.time_embedding)
    for block in list(unet.modules()):
        if getattr(block, "time_emb_proj", None) is not None:
            block.time_emb_proj = _Shared(block.time_emb_proj)


class _OneDNN(nn.Module):
    """A convolution by oneDNN, always: nn.Conv2d leaves lone rows, and 1x1 kernels of few rows, to another library."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        of = self.layer
        convolved: torch.Tensor = torch.mkldnn_convolution(
            rows, of.weight, of.bias, of.padding, of.stride, of.dilation, of.groups
        )
        return convolved


def _one_library(model: nn.Module) -> None:
    for name, child in list(model.named_children()):
        if isinstance(child, nn.Conv2d):
            setattr(model, name, _OneDNN(child))
        else:
            _one_library(child)
