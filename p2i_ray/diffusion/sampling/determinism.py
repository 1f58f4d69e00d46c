"""Make a model's rounding independent of the batch's size, on a CPU.

PyTorch's CPU kernels round by the number of rows in two kinds of layers: a linear layer of few rows, which in the UNet
is the time embedding alone, and what is added to it; and convolutions, which one library or another computes depending
on the rows. All else works row by row. (On a GPU any kernel may depend on the batch's shape: there, all batches must
have one size.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import nn


def any_batch_alike(dtype: str, device: str) -> bool:
    """Whether `same_for_any_batch` works for this arithmetic (fp32, bf16, fp16) on this device."""
    return dtype == "fp32" and torch.device(device).type == "cpu"


def same_for_any_batch(vae: AutoencoderKL, *denoisers: nn.Module) -> None:
    """Change a VAE, and UNets or copies of their encoders, so that a row's values depend on nothing else in its batch.

    All are in float32 on a CPU. They get faster, too; their state dicts have other names afterwards.
    """
    models: tuple[nn.Module, ...] = (vae, *denoisers)
    for denoiser in denoisers:
        _share_time_embedding(denoiser)
    for model in models:
        if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # else there is one library only
            _use_one_library(model)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types leave it out


class _SharedLayer(nn.Module):
    """A layer whose input rows are all the same: computed for the first, so that their number doesn't matter."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, rows: torch.Tensor, *more: object) -> torch.Tensor:
        """The first row's output, (B, ...)."""
        once: torch.Tensor = self.layer(rows[:1], *more)
        return once.expand(len(rows), *once.shape[1:])


def _each_row_alone(layer: nn.Module) -> None:
    """Have a layer compute row by row; it stays the module that it is, which diffusers looks into."""
    whole = layer.forward
    layer.forward = lambda rows: torch.cat([whole(row) for row in rows[:, None]])


def _share_time_embedding(unet: nn.Module) -> None:
    """All images of a batch are at the same time t: embed it, and project it in each block, once.

    Where each row adds its own (its pooled text), the sum is projected row by row.
    """
    unet.time_embedding = _SharedLayer(cast(nn.Module, unet.time_embedding))
    added = getattr(unet, "add_embedding", None)
    if added is not None:
        _each_row_alone(added)
    for block in list(unet.modules()):
        projection = getattr(block, "time_emb_proj", None)
        if projection is not None and added is None:
            block.time_emb_proj = _SharedLayer(projection)
        elif projection is not None:
            _each_row_alone(projection)


class _OneDNNConv(nn.Module):
    """A convolution by oneDNN, always: nn.Conv2d leaves lone rows, and 1x1 kernels of few rows, to another library."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """As nn.Conv2d."""
        layer = self.layer
        padding = cast(Sequence[int], layer.padding)  # diffusers names none, as in "same"
        return torch.mkldnn_convolution(
            rows, layer.weight, layer.bias, padding, layer.stride, layer.dilation, layer.groups
        )


def _use_one_library(model: nn.Module) -> None:
    for name, child in list(model.named_children()):
        if isinstance(child, nn.Conv2d):
            setattr(model, name, _OneDNNConv(child))
        else:
            _use_one_library(child)
