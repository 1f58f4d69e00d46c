"""Crop a photo of any shape to a square picture that holds the whole product.

Arrays are uint8, height x width (x channels); masks are 255 where the product is.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.images import Pixels

BLUR = 0.02  # of the mirrored surroundings, fraction of the side
MARGIN = 0.05  # free space wanted around the product, fraction of its longer side


def to_square(photo: Pixels, mask: Pixels, side: int) -> tuple[Pixels, Pixels]:
    """Crop the largest square around the product, and resize it.

    A product longer than the photo's shorter side is not cut: the crop grows beyond the photo, and the strip between
    frame and product is mirrored outwards, again and again where it is narrow. The product itself is never mirrored.

    Args:
        photo: (H, W, 3).
        mask: (H, W), not empty.
        side: of the result, pixels.

    Returns:
        The picture (side, side, 3) and its mask (side, side).
    """
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    extent = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    wanted = int(np.ceil(extent * (1 + 2 * MARGIN)))
    crop = min(max(min(height, width), wanted), max(height, width))
    y, y_inside = _window(height, rows[0], rows[-1] + 1, crop)
    x, x_inside = _window(width, columns[0], columns[-1] + 1, crop)
    inside = y_inside[:, None] & x_inside[None, :]
    picture = photo[y][:, x]
    if not inside.all():  # a narrow strip mirrored many times looks like a barcode: blur the mirrored part
        picture = np.where(inside[..., None], picture, cv2.GaussianBlur(picture, (0, 0), BLUR * crop))
    cut = np.where(inside, mask[y][:, x], 0).astype(np.uint8)
    interpolation = cv2.INTER_AREA if side <= crop else cv2.INTER_LINEAR
    return _resize(picture, side, interpolation), _resize(cut, side, interpolation)


def _resize(pixels: Pixels, side: int, interpolation: int) -> Pixels:
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=interpolation), np.uint8)


def _window(length: int, first: int, end: int, crop: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Indices of `crop` pixels around [first, end), as near its middle as the photo allows; and which are inside."""
    low, high = sorted((0, length - crop))
    start = min(max((first + end - crop) // 2, low), high)
    places = np.arange(start, start + crop)
    before = _fold(-1 - places, max(int(first), 1))
    after = length - 1 - _fold(places - length, max(length - int(end), 1))
    indices = np.where(places < 0, before, np.where(places >= length, after, places))
    return indices, (places >= 0) & (places < length)


def _fold(distance: NDArray[np.int64], strip: int) -> NDArray[np.int64]:
    """Depth in a strip of each mirrored pixel: 0, 1, 2, …, strip-1, strip-1, …, 1, 0, 0, 1 and so on."""
    phase = distance % (2 * strip)
    return np.where(phase < strip, phase, 2 * strip - 1 - phase)
