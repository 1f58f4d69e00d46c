"""Preprocess a row's images for the models: check sizes, change ranges, bring masks to latent size."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from p2i_ray.config import ImageConfig
from p2i_ray.data.images import ImageError, Pixels, decode, product_mask


def open_pair(image: bytes | None, cutout: bytes | None, limits: ImageConfig) -> tuple[Pixels, Pixels]:
    """A row's image (R, R, 3) and its product mask (R, R), at the model's resolution R.

    Raises:
        ImageError: one of them can't be used, or they don't fit each other.
    """
    picture, product = decode(image, limits), decode(cutout, limits)
    if picture.size != product.size:
        raise ImageError(f"the picture has {_size(picture)} pixels, its cutout {_size(product)}")
    mask = product_mask(fit(product, limits.resolution))
    return np.asarray(fit(picture.convert("RGB"), limits.resolution)), mask


def fit(picture: Image.Image, resolution: int) -> Image.Image:
    """A square image at the model's resolution.

    Raises:
        ImageError: it is not square; which part to cut off is not decided here.
    """
    if picture.width != picture.height:
        raise ImageError(f"the picture has {_size(picture)} pixels and is not square; jobs/ingest.py makes it so")
    side = (resolution, resolution)
    return picture if picture.size == side else picture.resize(side, Image.Resampling.LANCZOS)


def to_tensor(pixels: Pixels) -> torch.Tensor:
    """Pixels (B, H, W, 3), 0 to 255, as (B, 3, H, W), 0 to 1."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def paint_mask(products: Pixels) -> torch.Tensor:
    """Product masks (B, H, W), 0 to 255, as (B, 1, H, W): 1 where the background is to be painted, else 0.

    Cut at one half, as diffusers' inpainting pipeline does.
    """
    return (torch.from_numpy(products) < 128).float()[:, None]


def at_latent_size(mask: torch.Tensor, factor: int) -> torch.Tensor:
    """Masks (B, 1, H, W) as (B, 1, H/factor, W/factor), by nearest pixel, as diffusers' pipeline does."""
    return functional.interpolate(mask, size=(mask.shape[2] // factor, mask.shape[3] // factor))


def _size(picture: Image.Image) -> str:
    return f"{picture.width}x{picture.height}"
