"""Pictures: decoded (see decoding) and encoded; product masks; a picture's product and its background.

All arrays are uint8, height x width (x channels), values 0 to 255; masks are 255 where the product is.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from p2i_ray.data.decoding import check_size as check_size
from p2i_ray.data.decoding import decode as decode
from p2i_ray.data.decoding import turn_of as turn_of
from p2i_ray.data.decoding import upright_size as upright_size
from p2i_ray.data.errors import ImageError as ImageError

GREY = 127  # the middle of the range, 0 to the VAE; fills the part of a picture that was removed

Pixels = NDArray[np.uint8]


def has_picture(image: Mapping[str, Any] | None) -> bool:
    """Whether a row's `image` holds anything; it is null in a row that is a cutout without a scene."""
    return image is not None and (image.get("bytes") is not None or image.get("path") is not None)


def encoded(image: Mapping[str, Any] | None) -> bytes | None:
    """The bytes of an image struct {bytes, path}; none where it holds nothing.

    Raises:
        ImageError: it holds a path alone, which EPBD doesn't follow.
    """
    if not has_picture(image) or image is None:
        return None
    found: bytes | None = image.get("bytes")
    if found is None:
        raise ImageError(
            f"the picture is a path without bytes ({image['path']}); jobs/ingest.py reads pictures by path"
        )
    return found


def encode_png(pixels: Pixels) -> bytes:
    """PNG bytes of (H, W, 3), (H, W, 4) or (H, W) pixels; the same pixels give the same bytes."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=3)
    return out.getvalue()


def encode_cutout(pixels: Pixels) -> bytes:
    """PNG bytes of a cutout (H, W, 4) whose clear pixels are filled; the same pixels give the same bytes.

    Runs of equal bytes are all that is looked for. What lies around the product consists of them, so that the file is
    smaller and sooner written than `encode_png`'s; where the product fills the picture, it is a little larger.
    """
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=3, compress_type=zlib.Z_RLE)
    return out.getvalue()


def encode_jpeg(pixels: Pixels) -> bytes:
    """JPEG bytes of (H, W, 3) pixels, quality 95, full colour resolution."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def product_mask(cutout: Image.Image) -> Pixels:
    """The product mask m: the cutout's alpha, (H, W).

    Raises:
        ImageError: there is no alpha, no product, or no background in it.
    """
    if cutout.mode != "RGBA":
        raise ImageError("the cutout has no alpha channel")
    mask = np.asarray(cutout.getchannel("A"))
    if mask.max() < 128:
        raise ImageError("the cutout is empty: its alpha is below one half everywhere")
    if mask.min() >= 128:
        raise ImageError("the cutout covers the whole picture: no background is left to generate")
    return mask


def background_of(image: Pixels, mask: Pixels, fill: int = GREY) -> Pixels:
    """B: the picture with the product taken out, (H, W, 3); grey, or of level `fill`, where the product was."""
    return _over(np.full_like(image, fill), image, mask)


def product_of(image: Pixels, mask: Pixels, fill: int = GREY) -> Pixels:
    """The product alone on grey, or on level `fill`, (H, W, 3)."""
    return _over(image, np.full_like(image, fill), mask)


def paste_product(generated: Pixels, image: Pixels, mask: Pixels) -> Pixels:
    """The generated picture with the product's own pixels put back, (H, W, 3)."""
    return _over(image, generated, mask)


class Square(NamedTuple):
    """A square part of a picture, pixels."""

    left: int
    top: int
    side: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, as Pillow has them."""
        return self.left, self.top, self.left + self.side, self.top + self.side


def product_square(mask: Pixels) -> Square:
    """The largest square within a picture that shows its product, of a mask (H, W): as near the middle as it can be.

    A product longer than this square is in its middle, and cut on both sides.
    """
    side = min(mask.shape)
    top, left = (_start(np.flatnonzero((mask >= 128).any(axis=1 - axis)), mask.shape[axis], side) for axis in (0, 1))
    return Square(left, top, side)


def _start(product: NDArray[np.int64], length: int, side: int) -> int:
    """The start of `side` of `length` pixels, for a product at these places."""
    middle = (length - side) // 2
    if not product.size:
        return middle
    first, behind = int(product[0]), int(product[-1]) + 1
    wanted = min(max(middle, behind - side), first) if behind - first <= side else (first + behind - side) // 2
    return min(max(wanted, 0), length - side)


def _over(front: Pixels, back: Pixels, mask: Pixels) -> Pixels:
    alpha = mask[..., None].astype(np.float32) / 255  # (H, W, 1), 0..1
    return (front * alpha + back * (1 - alpha)).round().astype(np.uint8)
