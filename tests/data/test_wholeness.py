"""Files of the full length whose end never arrived, and whole ones that end in zeros."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.data.decoding import decode
from p2i_ray.data.errors import ImageError

LIMITS = ImageConfig()
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8))
KINDS: list[tuple[str, dict[str, Any]]] = [("PNG", {}), ("WEBP", {}), ("WEBP", {"lossless": True}), ("AVIF", {})]


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("part", [0.4, 0.8])
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_a_download_that_broke_off_is_no_picture(kind: str, options: dict[str, Any], part: float) -> None:
    whole = saved(NOISE, kind, **options)
    decode(whole, LIMITS)
    there = int(part * len(whole))
    with pytest.raises(ImageError, match=r"^unreadable: (broken PNG file|its last \d+ bytes are zeros)"):
        decode(whole[:there] + bytes(len(whole) - there), LIMITS)


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_zeros_behind_a_whole_picture_are_no_fault(kind: str, options: dict[str, Any]) -> None:
    whole = saved(NOISE, kind, **options)
    assert decode(whole + bytes(20_000), LIMITS).tobytes() == decode(whole, LIMITS).tobytes()


@pytest.mark.parametrize("colour", ["white", "black"])
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_plain_pictures_end_in_zeros(kind: str, options: dict[str, Any], colour: str) -> None:
    decode(saved(Image.new("RGB", (1500, 1000), colour), kind, **options), LIMITS)


def plain_around(picture: Image.Image, side: int = 640) -> Image.Image:
    """A picture on a large plain canvas, clear where it is not."""
    canvas = Image.new("RGBA", (side, side), (255, 255, 255, 0))
    canvas.paste(picture, (0, 0))
    return canvas


@pytest.mark.parametrize("options", [{"method": 0}, {"method": 1, "quality": 100}, {"method": 0, "lossless": True}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("animated", [False, True])
def test_plain_areas_by_a_hurried_encoder(options: dict[str, Any], mode: str, animated: bool) -> None:
    picture = plain_around(NOISE).convert(mode)
    more = {"save_all": True, "append_images": [Image.new(mode, picture.size)]} if animated else {}
    whole = saved(picture, "WEBP", **options, **more)
    with Image.open(io.BytesIO(whole)) as expected:
        assert decode(whole, LIMITS).tobytes() == expected.convert(mode).tobytes()


@pytest.mark.parametrize("lossless", [False, True])
def test_a_download_that_broke_off_behind_a_hurried_alpha(lossless: bool) -> None:
    picture = plain_around(NOISE, side=256)
    picture.putalpha(Image.new("L", picture.size, 255))
    picture.paste((0, 0, 0, 0), (0, 200, 256, 256))
    whole = saved(picture, "WEBP", method=0, lossless=lossless)
    decode(whole, LIMITS)
    there = len(whole) // 2
    with pytest.raises(ImageError, match=r"^unreadable: its last \d+ bytes are zeros"):
        decode(whole[:there] + bytes(len(whole) - there), LIMITS)


def test_exif_that_is_filled_up_with_zeros() -> None:
    exif = Image.Exif()
    exif[0xEA1C] = bytes(3000)  # Windows' padding
    for kind, options in KINDS:
        decode(saved(NOISE, kind, exif=exif, **options), LIMITS)


def test_a_flipped_bit_of_a_png() -> None:
    damaged = bytearray(saved(NOISE, "PNG", compress_level=0))  # stored as it is: no decoder could notice
    damaged[len(damaged) // 2] ^= 16
    with pytest.raises(ImageError, match="a checksum of its pixels is wrong"):
        decode(bytes(damaged), LIMITS)
