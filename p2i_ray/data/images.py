"""Decode and encode images within limits; product masks; a picture's product and its background.

All arrays are uint8, height x width (x channels), values 0 to 255; masks are 255 where the product is.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from p2i_ray.config import ImageConfig

FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP")
GREY = 127  # the middle of the range, 0 to the VAE; fills the part of a picture that was removed

Pixels = NDArray[np.uint8]


class ImageError(ValueError):
    """An image that can't be used; its text is the reason with which the row is set aside."""


def decode(encoded: bytes | None, limits: ImageConfig, at_least: int | None = None) -> Image.Image:
    """Decode an encoded image (of an animation, the first), upright, in sRGB: RGBA if it has transparency, else RGB.

    Args:
        encoded: the file's content.
        limits: the largest image that is accepted.
        at_least: decode a large JPEG at 1/2, 1/4 or 1/8 of its size, which is faster, as long as both sides keep at
            least so many pixels.

    Raises:
        ImageError: empty, too large, of another format, broken, or not decodable; nothing else, whatever the bytes.
    """
    with _opened(encoded, limits) as image:
        if at_least:
            image.draft(None, (at_least, at_least))
        image.load()
        return _srgb(ImageOps.exif_transpose(image))


def check_size(encoded: bytes | None, limits: ImageConfig) -> tuple[int, int]:
    """Check an encoded image against the limits by its header alone; returns the width and height stored there.

    Raises:
        ImageError: empty, too large, or of another format.
    """
    with _opened(encoded, limits) as image:
        return image.size


@contextmanager
def _opened(encoded: bytes | None, limits: ImageConfig) -> Iterator[Image.Image]:
    """Open an image within the limits, its pixels not read yet; any error in the block becomes an ImageError."""
    if not encoded:
        raise ImageError("unreadable: the image is empty")
    if len(encoded) > limits.max_bytes:
        raise ImageError(f"too large: {len(encoded)} bytes, more than {limits.max_bytes}")
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            if image.width * image.height > limits.max_pixels:
                raise ImageError(f"too large: {image.width}x{image.height} pixels, more than {limits.max_pixels}")
            yield image
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"unreadable: not a {', '.join(FORMATS)} image") from None
    except Image.DecompressionBombError:
        raise ImageError(f"too large: more than {limits.max_pixels} pixels") from None
    except Exception as error:  # broken bytes make decoders raise nearly anything: struct.error, KeyError, zlib.error …
        raise ImageError(f"unreadable: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from None


def _srgb(image: Image.Image) -> Image.Image:
    """Convert to 8 bits a channel, RGB or RGBA, by the embedded colour profile if there is one."""
    if image.mode.startswith("I") or image.mode == "F":  # 16-bit grey: `convert` would clip it to white
        levels = (np.asarray(image).astype(np.float64) / 257).round().clip(0, 255)
        return Image.fromarray(levels.astype(np.uint8)).convert("RGB")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "CMYK"):
        return image.convert(mode)
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return image.convert(mode)
        seen = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):  # a broken profile, or one for other channels: assume sRGB, as browsers do
        seen = None
    return (seen or image).convert(mode)


def has_picture(image: Mapping[str, Any] | None) -> bool:
    """Whether a row's `image` holds anything; it is null in a row that is a cutout without a scene."""
    return image is not None and (image.get("bytes") is not None or image.get("path") is not None)


def encode_png(pixels: Pixels) -> bytes:
    """PNG bytes of (H, W, 3), (H, W, 4) or (H, W) pixels; the same pixels give the same bytes."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=3)
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


def background_of(image: Pixels, mask: Pixels) -> Pixels:
    """B: the picture with the product taken out, (H, W, 3); grey where the product was."""
    return _over(np.full_like(image, GREY), image, mask)


def product_of(image: Pixels, mask: Pixels) -> Pixels:
    """The product alone on grey, (H, W, 3)."""
    return _over(image, np.full_like(image, GREY), mask)


def paste_product(generated: Pixels, image: Pixels, mask: Pixels) -> Pixels:
    """The generated picture with the product's own pixels put back, (H, W, 3)."""
    return _over(image, generated, mask)


def _over(front: Pixels, back: Pixels, mask: Pixels) -> Pixels:
    alpha = mask[..., None].astype(np.float32) / 255  # (H, W, 1), 0..1
    return (front * alpha + back * (1 - alpha)).round().astype(np.uint8)
