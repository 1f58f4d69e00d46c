"""The colours under a picture's clear pixels: those of its photo, or one that fills them since the photo is gone."""

from __future__ import annotations

import numpy as np

from p2i_ray.data.images import Pixels

CLEAR = 8  # alpha below which a pixel is clear; a picture without such pixels is a photo, whatever its file allows
WIPED = 0.9  # part of the clear pixels with one colour; a photo's noise leaves fewer alike


def filling(picture: Pixels) -> tuple[int, int, int] | None:
    """The colour that fills the clear pixels of a picture (H, W, 4); none: there are none, or they show something.

    Near the product the colours may be mixed, where the file was scaled afterwards.
    """
    hidden = picture[picture[..., 3] < CLEAR][:, :3]
    if not len(hidden):
        return None
    red, green, blue = (int(level) for level in np.median(hidden, axis=0))
    return (red, green, blue) if (hidden == (red, green, blue)).all(axis=1).mean() > WIPED else None
