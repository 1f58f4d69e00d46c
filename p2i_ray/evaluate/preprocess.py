"""Turn Parquet rows into the pictures that the metrics compare."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.data.images import ImageError, Pixels, background_of, decode, encoded, product_mask, product_of


class MeasuredImages(NamedTuple):
    """The pictures of one generated row, each (side, side, 3), uint8."""

    picture: Pixels  # I
    product: Pixels  # c, on grey
    background: Pixels  # B, grey where the product was


def real_picture(row: dict[str, Any], limits: ImageConfig) -> Pixels | None:
    """The picture of a real row, (side, side, 3); None if it can't be read."""
    try:
        return _rgb(_fit(decode(encoded(row["image"]), limits), limits.resolution))
    except ImageError:
        return None


def generated_images(row: dict[str, Any], limits: ImageConfig) -> MeasuredImages | None:
    """The pictures of a generated row; None if it has an error or can't be read."""
    if row["error"] is not None:
        return None
    try:
        picture = _rgb(_fit(decode(encoded(row["image"]), limits), limits.resolution))
        cutout = _fit(decode(encoded(row["cutout"]), limits), limits.resolution)
        mask = product_mask(cutout)  # (side, side)
    except ImageError:
        return None
    return MeasuredImages(picture, product_of(_rgb(cutout), mask), background_of(picture, mask))


def _fit(picture: Image.Image, side: int) -> Image.Image:
    """Crop the largest central square and resize it; real and generated pictures alike, so that FID compares like."""
    if picture.size == (side, side):
        return picture
    square = min(picture.size)
    left, top = (picture.width - square) // 2, (picture.height - square) // 2
    return picture.resize((side, side), Image.Resampling.LANCZOS, box=(left, top, left + square, top + square))


def _rgb(picture: Image.Image) -> Pixels:
    return np.asarray(picture)[..., :3]  # the colours of an RGBA picture, without its alpha
