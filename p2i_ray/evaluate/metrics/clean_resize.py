"""Resizing by clean-fid's convention (Parmar, Zhang and Zhu 2022): filtered, in floating point, without rounding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from p2i_ray.data.images import Pixels


def bicubic(pictures: Sequence[Pixels], side: int) -> NDArray[np.float32]:
    """Stretch B pictures (H, W, 3), uint8, to squares: (B, 3, side, side), 0..255.

    Pillow's bicubic filter, which widens as a picture shrinks, each channel by itself in float32; clipped, not rounded.
    """
    return np.stack([np.stack([_channel(plane, side) for plane in np.moveaxis(one, -1, 0)]) for one in pictures])


def _channel(plane: Pixels, side: int) -> NDArray[np.float32]:
    resized = Image.fromarray(plane.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(resized).clip(0, 255)
