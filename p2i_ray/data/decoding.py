"""The one decoder of pictures, for ingest, judge, models and service: within limits, upright, in sRGB.

It reads by content, whatever a file is called. Memory: a large picture is decoded smaller where the caller says how
many pixels it needs; then no more than the file's own pixels (`BYTES_PER_PIXEL`) are held at once.
"""

from __future__ import annotations

import functools
import importlib.util
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from p2i_ray.config import ImageConfig
from p2i_ray.data import jpeg_end, magic, stated_colours, tiff_pages, wholeness
from p2i_ray.data.colour import to_srgb
from p2i_ray.data.errors import ImageError

FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
HEIF_PLUGINS = ("pi_heif", "pillow_heif")  # optional; the first holds a decoder alone
BYTES_PER_PIXEL = 10  # at most while one is decoded: an AVIF or HEIC, with its planes and a copy; others take 4
LONGEST = 4  # times `at_least`: a longer side is decoded smaller even if the other then has fewer pixels
BAND = 1 << 20  # pixels that are converted at a time where a picture is decoded smaller
ORIENTATION = 0x0112  # EXIF tag
PNG_TURNS = (b"eXIf", b"exif", b"tiff:Orientation")  # in front of a PNG's orientation
PNG_DEPTH = 24  # place of a PNG's bits a channel
PNG_COLOURS, GREY_AND_ALPHA = 25, 4  # place of a PNG's kind of colours, and one of them
BITS = 258  # TIFF tag: depth of each channel
PHOTOMETRIC = 262  # TIFF tag; 0: white is zero
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

SIDEWAYS = tuple(UPRIGHT[tag] for tag in (5, 6, 7, 8))  # width and height change places


def decode(
    encoded: bytes | None, limits: ImageConfig, at_least: int | None = None, *, levels: bool = False
) -> Image.Image:
    """Decode an encoded image (of an animation, the first), upright, in sRGB: RGBA if it has transparency, else RGB.

    A JPEG that lacks nothing but its end marker is read, too.

    Args:
        encoded: the file's content.
        limits: the largest image that is accepted.
        at_least: decode a large image at a half, a third, … of its size, as long as both sides keep at least so many
            pixels, or the longer side more than four times as many. That takes less memory, and for a JPEG less time.
        levels: as a mask has them: they are no colours, and whatever the file says of colours is passed over.

    Raises:
        ImageError: empty, too large, of another format, broken, or not decodable; nothing else, whatever the bytes.
    """
    try:
        return _decoded(encoded, limits, at_least, levels=levels)
    except ImageError:
        mended = jpeg_end.mended(encoded) if encoded else None
        if mended is None:
            raise
    return _decoded(mended, limits, at_least, levels=levels)


def check_size(encoded: bytes | None, limits: ImageConfig, formats: tuple[str, ...] | None = None) -> tuple[int, int]:
    """Check an encoded image against the limits by its header alone; returns the width and height stored there.

    Args:
        encoded: the file's content.
        limits: the largest image that is accepted.
        formats: those that are accepted, as Pillow calls them (none: all that are read).

    Raises:
        ImageError: empty, too large, or of another format.
    """
    with _opened(encoded, limits, formats) as image:
        return image.size


def upright_size(encoded: bytes | None, limits: ImageConfig) -> tuple[int, int]:
    """The width and height that `decode` gives an image; a PNG is read to its end for them.

    Raises:
        ImageError: as `check_size`.
    """
    with _opened(encoded, limits) as image:
        width, height = image.size
        turn = _turn(image)
        return (height, width) if turn in SIDEWAYS else (width, height)


def turn_of(encoded: bytes | None, limits: ImageConfig) -> Image.Transpose | None:
    """The turn by which `decode` makes an image upright; none where it is stored so, and for TIFF.

    Raises:
        ImageError: as `check_size`.
    """
    with _opened(encoded, limits) as image:
        if image.format == "PNG" and not any(mark in (encoded or b"") for mark in PNG_TURNS):
            return None  # Pillow would read all of its pixels to say so
        return _turn(image)


def _decoded(encoded: bytes | None, limits: ImageConfig, at_least: int | None, *, levels: bool) -> Image.Image:
    with _opened(encoded, limits) as image:
        wholeness.check(encoded or b"", image.format, image.width * image.height)
        profile = None if levels else stated_colours.profile_of(image, encoded or b"")
        turn = _turn(image)
        # Pillow inverts such TIFF files of 8 bits, and leaves those of 16 as they are.
        white_is_zero = image.mode.startswith("I;16") and getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == 0
        if at_least:
            image.draft(None, (at_least, at_least))
        image.load()
        if image.format == "JPEG" and jpeg_end.is_cut_off(encoded or b"", image):
            raise ImageError("unreadable: the end of its picture is missing, and would be grey; get the file again")
        if image.format == "PNG" and "transparency" in image.info:
            image.info["transparency"] = _at_8_bits(image, encoded)
        if image.format == "PNG" and image.mode == "RGBA" and encoded and encoded[PNG_COLOURS] == GREY_AND_ALPHA:
            image = Image.merge("LA", (image.getchannel("R"), image.getchannel("A")))  # of 16 bits, as Pillow opens it
        if image.format == "TIFF":
            image = _at_16_bits(image)
        if white_is_zero:
            image = Image.fromarray(65535 - np.asarray(image))
        factor = max(min(image.size) // at_least, max(image.size) // (LONGEST * at_least)) if at_least else 1
        seen = _reduced(image, factor, profile) if factor > 1 else to_srgb(image, profile)
        return seen if turn is None else seen.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """The turn that makes a picture upright; none where it is so, or where Pillow does it by itself, as for TIFF."""
    return None if image.format == "TIFF" else UPRIGHT.get(image.getexif().get(ORIENTATION, 1))


def _at_8_bits(image: Image.Image, encoded: bytes | None) -> Any:
    """The clear colour of a PNG at the depth of Pillow's pixels; Pillow leaves it at the file's depth."""
    clear, depth = image.info["transparency"], encoded[PNG_DEPTH] if encoded else 8
    if isinstance(clear, tuple) and depth == 16:
        return tuple(level >> 8 for level in clear)
    if isinstance(clear, int) and image.mode == "L" and depth in (2, 4):
        return clear * 255 // (2**depth - 1)
    return clear


def _at_16_bits(image: Image.Image) -> Image.Image:
    """A TIFF whose grey levels are at their file's depth with those that 16 bits have; one of another kind as it is.

    Raises:
        ImageError: they are whole numbers of 32 bits, or with a sign, of no known range.
    """
    if image.mode == "I":
        raise ImageError("unreadable: grey levels are whole numbers of no known range; save it with 8 or 16 bits")
    depths = getattr(image, "tag_v2", {}).get(BITS, ())
    if image.mode != "I;16" or depths != (12,):
        return image
    return Image.fromarray((np.asarray(image).astype(np.uint32) * 65535 // 4095).astype(np.uint16))


def _reduced(image: Image.Image, factor: int, profile: bytes | None) -> Image.Image:
    """The image in sRGB at 1/factor of its size, converted in bands of rows; colours are weighted by alpha."""
    rows = max(1, BAND // (image.width * factor)) * factor
    small: Image.Image | None = None
    for top in range(0, image.height, rows):
        band = to_srgb(image.crop((0, top, image.width, min(image.height, top + rows))), profile).reduce(factor)
        small = small or Image.new(band.mode, (band.width, -(-image.height // factor)))
        small.paste(band, (0, top // factor))
    assert small
    return small


@contextmanager
def _opened(
    encoded: bytes | None, limits: ImageConfig, formats: tuple[str, ...] | None = None
) -> Iterator[Image.Image]:
    """Open an image within the limits, its pixels not read yet; any error in the block becomes an ImageError."""
    if not encoded:
        raise ImageError("unreadable: the image is empty")
    if len(encoded) > limits.max_bytes:
        raise _too_large(f"{len(encoded)} bytes", "max_bytes", limits)
    _check_pixels(magic.webp_size(encoded) or (0, 0), limits)  # opening one takes memory for all of its pixels
    try:
        with Image.open(io.BytesIO(encoded), formats=formats or _formats()) as image:
            tiff_pages.turn_to_picture(image)
            _check_pixels(image.size, limits)
            yield image
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"unreadable: {magic.complaint(encoded, formats or _formats())}") from None
    except Image.DecompressionBombError:
        raise _too_large("more pixels than can be opened", "max_pixels", limits) from None
    except Exception as error:  # broken bytes make decoders raise nearly anything: struct.error, KeyError, zlib.error …
        raise ImageError(f"unreadable: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from None


def _check_pixels(size: tuple[int, int], limits: ImageConfig) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise _too_large(f"{width}x{height} pixels", "max_pixels", limits)


def _too_large(what: str, setting: str, limits: ImageConfig) -> ImageError:
    return ImageError(f"too large: {what}, more than {limits.group}{setting}={getattr(limits, setting)} allows")


@functools.lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    """The formats that this installation reads."""
    for name in HEIF_PLUGINS:
        if importlib.util.find_spec(name):
            importlib.import_module(name).register_heif_opener()
            return (*FORMATS, "HEIF")
    return FORMATS
