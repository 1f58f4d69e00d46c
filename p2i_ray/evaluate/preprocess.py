"""Turn Parquet rows into the pictures that the metrics compare."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.data.images import (
    GREY,
    ImageError,
    Pixels,
    background_of,
    decode,
    encoded,
    has_picture,
    product_mask,
    product_of,
    product_square,
)
from p2i_ray.evaluate.metrics.batch import MeasuredImages, RealImages

FILLS = {"grey": GREY, "white": 255, "black": 0}  # levels


def real_picture(row: dict[str, Any], limits: ImageConfig) -> Pixels | None:
    """The picture of a real row, (side, side, 3); None if it can't be read."""
    try:
        picture = decode(encoded(row["image"]), limits)
        if picture.width == picture.height or "cutout" not in row:
            return _rgb(_fit(picture, limits.resolution, _box_of(picture)))
        return _rgb(_fit(picture, limits.resolution, _box_of(decode(encoded(row["cutout"]), limits))))
    except ImageError:
        return None


def real_images(row: dict[str, Any], limits: ImageConfig, fill: str = "grey") -> RealImages | None:
    """Parts of a real row that metrics need beside its picture; None if one can't be read, or it has nothing.

    Args:
        row: image and cutout, and what there is of id, category, reference and reference_cutout.
        limits: of decoding, and the size that is measured.
        fill: what stands where a product was.
    """
    background = reference = None
    if has_picture(row["image"]):
        try:
            background = _background(row["image"], row["cutout"], limits, fill)
        except ImageError:
            return None
    if has_picture(row.get("reference")):
        try:
            reference = _background(row["reference"], row.get("reference_cutout"), limits, fill)
        except ImageError:
            reference = None  # as if there were none: the row is left out, and counted
    if background is None and reference is None:
        return None
    return RealImages(background, reference, id=row.get("id") or "", category=row.get("category") or "")


def _background(image: Any, cutout: Any, limits: ImageConfig, fill: str) -> Pixels:
    """A picture without its product; without a cutout it has none."""
    picture = decode(encoded(image), limits)
    if not has_picture(cutout):
        return _rgb(_fit(picture, limits.resolution, _box_of(picture)))
    product = decode(encoded(cutout), limits)
    box = _box_of(product)
    mask = product_mask(_fit(product, limits.resolution, box))  # (side, side)
    return background_of(_rgb(_fit(picture, limits.resolution, box)), mask, FILLS[fill])


def generated_images(row: dict[str, Any], limits: ImageConfig, fill: str = "grey") -> MeasuredImages | None:
    """The pictures of a generated row; None if it has an error or can't be read."""
    if row["error"] is not None:
        return None
    try:
        cutout = decode(encoded(row["cutout"]), limits)
        box = _box_of(cutout)
        opened = decode(encoded(row["image"]), limits)
        picture = _rgb(_fit(opened, limits.resolution, box))
        cutout = _fit(cutout, limits.resolution, box)
        mask = product_mask(cutout)  # (side, side)
    except ImageError:
        return None
    return MeasuredImages(
        picture=picture,
        product=product_of(_rgb(cutout), mask, FILLS[fill]),
        background=background_of(picture, mask, FILLS[fill]),
        cutout=_rgb(cutout),
        mask=mask,
        id=row.get("id") or "",
        name=row.get("name") or "",
        category=row.get("category") or "",
        resized=opened.size not in {(size.width, size.height) for size in limits.sizes},
    )


Box = tuple[float, float, float, float]  # left, top, right and bottom, as fractions of width and height
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


def _box_of(cutout: Image.Image) -> Box:
    """The square of a picture that is measured, by its cutout: the largest, of real and generated ones alike.

    It is in the middle, or moved to where it shows the product.
    """
    if cutout.width == cutout.height:
        return WHOLE
    mask = product_mask(cutout) if cutout.mode == "RGBA" else np.zeros((cutout.height, cutout.width), np.uint8)
    left, top, right, bottom = product_square(mask).box
    return left / cutout.width, top / cutout.height, right / cutout.width, bottom / cutout.height


def _fit(picture: Image.Image, side: int, box: Box = WHOLE) -> Image.Image:
    """A part of a picture at the size that is measured."""
    if picture.size == (side, side) and box == WHOLE:
        return picture
    left, top, right, bottom = box
    part = (left * picture.width, top * picture.height, right * picture.width, bottom * picture.height)
    return picture.resize((side, side), Image.Resampling.LANCZOS, box=part)


def _rgb(picture: Image.Image) -> Pixels:
    return np.asarray(picture)[..., :3]  # the colours of an RGBA picture, without its alpha
