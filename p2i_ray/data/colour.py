"""Any Pillow image as 8-bit sRGB: by the embedded colour profile, in every mode.

A profile counts by its content, not by its name: it is tried on a grid of colours, and one that changes none of them
is sRGB. A profile that is broken, or made for other channels than the image has, is passed over, as browsers do.
"""

from __future__ import annotations

import functools
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

SAME = 2  # levels of 255 by which a profile may differ from sRGB and count as it
STEPS = 9  # levels a channel of the grid on which a profile is tried
SPACES = {"RGB ": ("RGB",), "GRAY": ("L",), "CMYK": ("CMYK",)}  # a profile's colour space -> the modes it is for

Levels = NDArray[np.uint16]


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to 8 bits a channel: RGBA if the image has transparency, else RGB.

    Args:
        image: of any mode.
        profile: the colour profile embedded in its file.

    Raises:
        ValueError: pixels without a known range.
    """
    if image.mode.startswith("I"):
        return _from_16_bit(image, profile)
    if image.mode == "F":
        raise ValueError("pixels are floating-point numbers of no known range; save it with 8 or 16 bits a channel")
    if image.mode == "LAB":
        return ImageCms.profileToProfile(image, ImageCms.createProfile("LAB"), _srgb(), outputMode="RGB") or image
    if image.mode == "La":  # a TIFF whose grey levels were multiplied by its alpha
        image = image.convert("LA")
    if image.has_transparency_data:
        clear = image if image.mode == "RGBA" else image.convert("RGBA")
        if not profile:
            return clear
        seen = _seen(image.convert("L") if image.mode in ("1", "L", "LA") else clear.convert("RGB"), profile)
        seen.putalpha(clear.getchannel("A"))
        return seen
    plain = {"1": "L"}.get(image.mode, image.mode)
    plain = plain if plain in ("L", "CMYK") else "RGB"
    return _seen(image if image.mode == plain else image.convert(plain), profile)


def _seen(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An image of mode L, RGB or CMYK as RGB."""
    if not profile:
        return image if image.mode == "RGB" else image.convert("RGB")
    if image.mode == "L" and _space(profile) == "RGB ":
        image = image.convert("RGB")
    transform = _transform(profile, image.mode)
    seen = transform.apply(image) if transform else image
    return seen.convert("RGB")


def _from_16_bit(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Grey levels of 16 bits, which `convert` would clip to white; colours are looked up between those of 8 bits."""
    levels = np.asarray(image)
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError("grey levels have more than 16 bits; save it with 8 or 16 bits a channel")
    transparent = image.info.get("transparency")
    ramp = np.asarray(_seen(Image.fromarray(np.arange(256, dtype=np.uint8)[None]), profile))[0]  # (256, 3)
    places = np.arange(65536) / 257
    table = np.stack([np.interp(places, np.arange(256), ramp[:, channel]) for channel in range(3)], axis=1)
    table = table.round().astype(np.uint8)  # (65536, 3)
    seen = Image.fromarray(table[levels])
    if isinstance(transparent, int):
        seen.putalpha(Image.fromarray(np.where(levels == transparent, 0, 255).astype(np.uint8)))
    return seen


@functools.lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform of a mode's pixels to sRGB; none where there is nothing to change or the profile can't be used."""
    try:
        if mode not in SPACES.get(_space(profile), ()):
            return None
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        # Without lcms's own cache a transform can be used by several threads.
        transform = ImageCms.buildTransform(source, _srgb(), mode, "RGB", flags=ImageCms.Flags.NOCACHE)
        grid = _grid(mode)
        seen = transform.apply(grid) if grid else None
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    if grid is None or seen is None:
        return transform
    apart = np.abs(np.asarray(seen, np.int16) - np.asarray(grid.convert("RGB"), np.int16)).max()
    return None if apart <= SAME else transform


def _space(profile: bytes) -> str:
    """A profile's colour space, as its header names it."""
    return profile[16:20].decode("latin-1")


def _grid(mode: str) -> Image.Image | None:
    """Colours of a mode, from all over its range; none for inks, which are never sRGB."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    if mode != "RGB":
        return None
    levels = np.linspace(0, 255, STEPS).round().astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3))


@functools.lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
