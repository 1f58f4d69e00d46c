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
