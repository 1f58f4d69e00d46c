"""A product's outline, of its mask: its size, a band along the outline, the scene's ring around it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.images import Pixels

HALF = 128  # level of the mask from which a pixel counts as the product's
RING = 0.15  # width of the ring around the product, in its size

Flags = NDArray[np.bool_]
Weights = NDArray[np.uint8]  # 0: untouched, 255: in full


def size_of(mask: Pixels) -> float:
    """The size of a mask's (H, W) product: the root of its area, pixels; thin products are small."""
    return float(np.sqrt(np.count_nonzero(mask >= HALF)))


def ring(mask: Pixels) -> Flags:
    """The scene's pixels near the product, (H, W): none of the product is in them."""
    reach = max(2.0, RING * size_of(mask))
    outside = cv2.distanceTransform((mask < HALF).view(np.uint8), cv2.DIST_L2, 5)
    return np.asarray((mask == 0) & (outside <= reach))


def whole(mask: Pixels) -> Weights:
    """The weight of each pixel (H, W) where the whole product counts: its share of the product."""
    return mask.copy()


def rim(mask: Pixels, width: float) -> Weights:
    """The weight of each pixel (H, W) where a band along the outline counts: full at the outline, falling inwards.

    Args:
        mask: (H, W), 255 where the product is.
        width: of the band, in the product's size.
    """
    reach = max(1.0, width * size_of(mask))
    inside = cv2.distanceTransform((mask >= HALF).view(np.uint8), cv2.DIST_L2, 5)
    depth = np.clip((inside - 1) / reach, 0, 1)  # 0 for the outermost pixel
    fall = (1 + np.cos(np.pi * depth)) / 2
    return np.asarray(np.rint(fall * mask).astype(np.uint8))
