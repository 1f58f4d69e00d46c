"""Tell which of two masks follows a photo's outlines: one made before the photo was turned upright doesn't.

Arrays are uint8, height x width (x channels); masks are 255 where the product is.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.images import Pixels

SIDE = 256  # pictures are compared at this size
BETTER = 1.5  # times as much contrast along its outline makes a mask plainly the better one
PEAK = 1.3  # times as much along it as beside it makes an outline; a busy background has as much everywhere
BESIDE = 6  # pixels: how far from an outline beside it is


def is_plainly_better(one: Pixels, other: Pixels, photo: Pixels) -> bool:
    """Whether the photo (H, W, 3 or 4) changes much more along the outline of one mask (H, W) than of another's.

    What changes as much beside it, as a busy background does, is no outline: a faint product may lie before it.
    """
    scale = min(1.0, SIDE / max(photo.shape[:2]))
    size = max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale))
    change = _change(_small(photo[..., :3], size))
    one, other = (_product(_small(mask, size)) for mask in (one, other))
    own = _along(one, change)
    return own > BETTER * _along(other, change) and own > PEAK * _beside(one, change)


def _small(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _change(photo: Pixels) -> NDArray[np.float32]:
    """A photo's change at each pixel, (H, W)."""
    levels = cv2.GaussianBlur(photo.astype(np.float32), (0, 0), 1)
    across, down = (cv2.Sobel(levels, cv2.CV_32F, x, 1 - x) for x in (1, 0))
    return np.asarray(np.hypot(across, down).max(axis=-1), np.float32)


def _product(mask: Pixels) -> Pixels:
    return (mask >= 128).astype(np.uint8)


def _along(product: Pixels, change: NDArray[np.float32]) -> float:
    """The mean change along a product's outline within the photo."""
    outline = cv2.morphologyEx(product, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    return float(change[outline > 0].mean()) if outline.any() else 0.0


def _beside(product: Pixels, change: NDArray[np.float32]) -> float:
    """The mean change along the outlines of a product that is a little smaller, and a little larger."""
    kernel = np.ones((2 * BESIDE + 1, 2 * BESIDE + 1), np.uint8)
    sides = (grow(product, kernel, borderType=cv2.BORDER_REPLICATE) for grow in (cv2.erode, cv2.dilate))
    return sum(_along(np.asarray(side, np.uint8), change) for side in sides) / 2
