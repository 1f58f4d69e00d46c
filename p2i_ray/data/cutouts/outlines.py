"""Which of two masks of one photo follows its outlines: one that was made before the photo was turned upright doesn't.

Arrays are uint8, height x width (x channels); masks are 255 where the product is.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.images import Pixels

SIDE = 256  # pictures are compared at this size
BETTER = 1.5  # times as much contrast along its outline makes a mask plainly the better one


def is_plainly_better(one: Pixels, other: Pixels, photo: Pixels) -> bool:
    """Whether the photo (H, W, 3 or 4) changes much more along the outline of one mask (H, W) than of another's."""
    scale = min(1.0, SIDE / max(photo.shape[:2]))
    size = max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale))
    change = _change(_small(photo[..., :3], size))
    own, others = (_along(_small(mask, size), change) for mask in (one, other))
    return own > BETTER * others


def _small(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _change(photo: Pixels) -> NDArray[np.float32]:
    """How much a photo changes at each pixel, (H, W)."""
    levels = cv2.GaussianBlur(photo.astype(np.float32), (0, 0), 1)
    across, down = (cv2.Sobel(levels, cv2.CV_32F, x, 1 - x) for x in (1, 0))
    return np.asarray(np.hypot(across, down).max(axis=-1), np.float32)


def _along(mask: Pixels, change: NDArray[np.float32]) -> float:
    """The mean change along a mask's outline within the photo."""
    product = (mask >= 128).astype(np.uint8)
    outline = cv2.morphologyEx(product, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    return float(change[outline > 0].mean()) if outline.any() else 0.0
