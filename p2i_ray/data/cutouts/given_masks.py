"""The product mask that a mask file means: its levels, or its alpha; what can't be told is no mask.

Arrays are uint8, height x width (x channels); masks are 255 where the product is.
"""

from __future__ import annotations

import numpy as np

from p2i_ray.data.errors import ImageError
from p2i_ray.data.images import Pixels

CLEAR = 128  # alpha below which a pixel counts as transparent; a file without such pixels has its mask in its levels
TINT = 32  # levels by which the channels of a grey pixel may differ, as JPEG makes them
COLOURED = 0.01  # share of pixels with more, above which a file is a picture in colours
FAINT = 32  # brightest level of a mask whose product is numbered, 1 and not 255
BLACK, WHITE = 32, 223  # levels up to which, and from which, a pixel counts as one or the other
EITHER = 0.98  # share of opaque pixels that are one or the other in a mask of black and white
BOTH = 0.02  # least share of each of the two there


def product_of(mask: Pixels) -> Pixels:
    """The mask (H, W) of a mask file's pixels (H, W, 4): white is the product, or if some is transparent, its alpha.

    Raises:
        ImageError: it is in colours, nearly black, inverted, or has black and white and transparency, which say
            different things.
    """
    alpha = mask[..., 3]
    if alpha.min() < CLEAR:
        _check_levels(mask[alpha >= CLEAR][:, :3])
        _check_corners(alpha, "opaque")
        return np.ascontiguousarray(alpha)
    levels = mask[..., :3]
    if (_spread(levels) > TINT).mean() > COLOURED:
        raise ImageError("bad mask: it is in colours; white is the product, and black the rest")
    grey = np.ascontiguousarray(levels[..., 1])
    if 0 < (brightest := int(grey.max())) < FAINT:
        raise ImageError(f"bad mask: its brightest level is {brightest}; the product must be white, level 255")
    _check_corners(grey, "white")
    return grey


def _check_corners(mask: Pixels, what: str) -> None:
    if (mask[[0, 0, -1, -1], [0, -1, 0, -1]] >= 128).all():
        raise ImageError(f"bad mask: its corners are {what}, and {what} is the product; invert it")


def _check_levels(opaque: Pixels) -> None:
    """Raise an ImageError if opaque pixels (N, 3) are themselves a mask."""
    if not len(opaque) or (_spread(opaque) > TINT).mean() > COLOURED:
        return
    black, white = (opaque[:, 1] <= BLACK).mean(), (opaque[:, 1] >= WHITE).mean()
    if min(black, white) >= BOTH and black + white >= EITHER:
        raise ImageError(
            "bad mask: it has black and white, and transparency too, and only one can say what the product is; save it "
            "without transparency"
        )


def _spread(pixels: Pixels) -> Pixels:
    """Distance between the channels of pixels (..., 3)."""
    return np.asarray(pixels.max(axis=-1) - pixels.min(axis=-1))
