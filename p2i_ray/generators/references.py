"""Open the reference of a row, a job or a request: one picture, and a cutout that says where its own product is.

A picture and its cutout are what they are in EPBD: the picture is opaque, the cutout has its size, and its alpha is the
product's mask. A picture without a cutout is a background without a product.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.data.images import ImageError, decode
from p2i_ray.errors import UserError
from p2i_ray.generators.request import Reference, fitted
from p2i_ray.storage import locations


def open_reference(picture: bytes | None, cutout: bytes | None, limits: ImageConfig) -> Reference:
    """A reference, decoded.

    Args:
        picture: encoded.
        cutout: encoded, RGBA of the picture's size (none: the picture has no product).
        limits: of both.

    Raises:
        ImageError: one can't be read, the picture is a cutout itself, or the cutout has no alpha channel.
    """
    whole = _decoded(picture, "reference", limits)
    if has_clear_pixels(whole):
        raise ImageError(
            "reference: the picture has transparent pixels, so it is a cutout, without a background to take a style "
            "from; give the whole picture, and the cutout as reference_cutout"
        )
    mask = None
    if cutout is not None:
        product = _decoded(cutout, "reference_cutout", limits)
        if product.mode != "RGBA":
            raise ImageError("reference_cutout: the picture has no alpha channel, which says where the product is")
        mask = np.asarray(product.getchannel("A"))
    return Reference(np.asarray(whole.convert("RGB")), mask)


def has_clear_pixels(picture: Image.Image) -> bool:
    """Whether a decoded picture is more than half transparent anywhere."""
    return picture.mode == "RGBA" and picture.getchannel("A").getextrema()[0] < 128  # type: ignore[operator]  # one band


def read_reference(picture: str, cutout: str | None, image: ImageConfig) -> Reference:
    """The reference of all rows, in the one size of the settings that it has the shape of.

    Args:
        picture: location of its file.
        cutout: location of its cutout's file (none: it has no product).
        image: limits, and the sizes that are painted.

    Raises:
        UserError: it can't be used.
    """
    found = [None if one is None else _read(one, setting) for one, setting in _named(picture, cutout)]
    given = f"reference={picture}" if cutout is None else f"reference={picture} with reference_cutout={cutout}"
    try:
        reference = open_reference(found[0], found[1], image)
    except ImageError as error:
        raise UserError(f"{given} can't be used: {error}") from None
    height, width = reference.picture.shape[:2]
    size = image.nearest(width, height)[0]
    try:
        return fitted((reference,), (size.height, size.width))
    except UserError as error:
        raise UserError(f"{given} can't be used: {error}") from None


def _named(picture: str, cutout: str | None) -> tuple[tuple[str, str], tuple[str | None, str]]:
    return (picture, "reference"), (cutout, "reference_cutout")


def _read(location: str, setting: str) -> bytes:
    if locations.kind(location) != "file":
        raise UserError(f"{setting}={location} is no file that is there; check the path")
    return locations.read_bytes(location)


def _decoded(encoded: bytes | None, name: str, limits: ImageConfig) -> Image.Image:
    try:
        return decode(encoded, limits)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
