"""Preprocess a row's images for the models: check sizes, change ranges, bring masks to latent size."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from p2i_ray.config import ImageConfig
from p2i_ray.config.shapes import SQUARE, Size
from p2i_ray.data.images import ImageError, Pixels, decode, product_mask


def open_pair(image: bytes | None, cutout: bytes | None, limits: ImageConfig) -> tuple[Pixels, Pixels]:
    """A row's image (H, W, 3) and its product mask (H, W), in the size that the settings have for its shape.

    Raises:
        ImageError: one of them can't be used, or they don't fit each other.
    """
    picture, product = decode(image, limits), decode(cutout, limits)
    if picture.size != product.size:
        sizes = [f"{image.width}x{image.height}" for image in (picture, product)]
        raise ImageError(f"the picture has {sizes[0]} pixels, its cutout {sizes[1]}")
    mask = product_mask(fit(product, limits))
    return np.asarray(fit(picture.convert("RGB"), limits)), mask


def fit(picture: Image.Image, limits: ImageConfig) -> Image.Image:
    """An image in the size that the settings have for its shape.

    Raises:
        ImageError: it has none of their shapes; which part to cut off is not decided here.
    """
    size = size_of(picture.width, picture.height, limits)
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def size_of(width: int, height: int, limits: ImageConfig) -> Size:
    """The size that a picture of these pixels is to have.

    Raises:
        ImageError: as `fit`.
    """
    size = limits.size_of(width, height)
    if size is not None:
        return size
    if limits.aspect_ratios == (SQUARE,):
        raise ImageError(f"the picture has {width}x{height} pixels and is not square; jobs/ingest.py makes it so")
    shapes = ", ".join(f"{ratio} ({size})" for ratio, size in zip(limits.aspect_ratios, limits.sizes, strict=True))
    raise ImageError(
        f"the picture has {width}x{height} pixels, the shape of none of image.aspect_ratios={shapes}; jobs/ingest.py "
        "makes it so"
    )


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
