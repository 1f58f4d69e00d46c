"""Spoil a picture's background, so that a copy that learns to paint it from itself can't just paste it back.

The product's mask M is dilated, united with random boxes and translated: M'. Where it is, another picture shows:
I' = I (1 - M') + I_rand M'. Of what comes out the copy sees I' (1 - M), as it sees a reference's background later: the
product's own place stays empty, so that a mask that was moved away uncovers no product.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from p2i_ray.config.generators import SpoilingConfig
from p2i_ray.config.seeds import seed_for
from p2i_ray.data.images import Pixels

Mask = NDArray[np.bool_]
Value = TypeVar("Value", bound=np.generic)


class Spoilt(NamedTuple):
    """A spoilt picture."""

    picture: Pixels  # (H, W, 3), I'
    product: Mask  # (H, W), where the picture has, or had, its product: M, moved with the picture
    replaced: Mask  # (H, W), M': where another picture shows


def spoil(image: Pixels, mask: Pixels, other: Pixels, *, settings: SpoilingConfig, seed: int) -> Spoilt:
    """Spoil one picture; without spoiling it stays as it is.

    Args:
        image: (H, W, 3).
        mask: (H, W), 255 where its product is.
        other: I_rand, another picture of the same size.
        settings: how much.
        seed: the outcome depends on nothing else; see `seed_of`.
    """
    assert image.shape == other.shape and image.shape[:2] == mask.shape, "pictures and mask differ in size"
    product: Mask = mask >= 128
    if not settings.enabled:
        return Spoilt(image, product, np.zeros_like(product))
    random = np.random.default_rng(seed)
    dilated = _dilated(product, random.uniform(0, settings.dilation))
    boxed = dilated | _boxes(product.shape, settings, random)
    height, width = product.shape
    down, right = (round(random.uniform(-settings.shift, settings.shift) * side) for side in (height, width))
    replaced = translated(boxed, down, right, fill=False)
    picture = np.where(replaced[..., None], other, image)
    if settings.shift_picture:
        # Where nothing of the picture arrives, the other one shows, too.
        left_behind = translated(np.zeros_like(product), down, right, fill=True)
        moved = translated(picture, down, right, fill=0)
        picture = np.where(left_behind[..., None], other, moved)
        replaced = translated(replaced, down, right, fill=False) | left_behind
        product = translated(product, down, right, fill=False)
    return Spoilt(picture, product, replaced)


def seed_of(seed: int, step: int, position: int) -> int:
    """The seed for one row of one step, whichever process spoils it.

    Args:
        seed: of the training.
        step: number of the optimizer step.
        position: the row's in the global batch.
    """
    return seed_for(seed, "spoiling", step, position)


def translated(values: NDArray[Value], down: int, right: int, *, fill: int | bool) -> NDArray[Value]:
    """Values (H, W, …) moved by so many pixels; what comes in at the edges is `fill`."""
    moved = np.full_like(values, fill)
    height, width = values.shape[:2]
    rows, columns = height - abs(down), width - abs(right)
    if rows > 0 and columns > 0:
        there = slice(max(down, 0), max(down, 0) + rows), slice(max(right, 0), max(right, 0) + columns)
        here = slice(max(-down, 0), max(-down, 0) + rows), slice(max(-right, 0), max(-right, 0) + columns)
        moved[there] = values[here]
    return moved


def _dilated(mask: Mask, fraction: float) -> Mask:
    """A mask widened on all sides, by a fraction of its shorter side."""
    radius = round(fraction * min(mask.shape))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel), bool)


def _boxes(shape: tuple[int, ...], settings: SpoilingConfig, random: np.random.Generator) -> Mask:
    """Up to so many boxes of random size, anywhere."""
    found: Mask = np.zeros(shape, bool)
    for _ in range(random.integers(settings.boxes, endpoint=True)):
        height, width = (max(1, round(random.uniform(0, settings.box) * side)) for side in shape)
        top, left = (int(random.integers(side - size + 1)) for side, size in zip(shape, (height, width), strict=True))
        found[top : top + height, left : left + width] = True
    return found
