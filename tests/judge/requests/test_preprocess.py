"""Preprocessing of pictures for the judge."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.data.images import ImageError, encode_png
from p2i_ray.judge.requests.preprocess import fit

LIMITS = ImageConfig(resolution=64, max_bytes=100_000, max_pixels=40_000)


def test_a_fitting_picture_stays_as_it_is() -> None:
    encoded = encode_png(np.full((64, 48, 3), 9, np.uint8))
    assert fit(encoded, LIMITS) == encoded


def test_large_pictures_shrink_in_proportion() -> None:
    shrunk = Image.open(io.BytesIO(fit(encode_png(np.full((100, 200, 3), 9, np.uint8)), LIMITS)))
    assert shrunk.size == (64, 32) and shrunk.getpixel((5, 5)) == (9, 9, 9)


def test_transparency_becomes_white() -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:32] = (10, 20, 30, 255)
    flat = Image.open(io.BytesIO(fit(encode_png(pixels), LIMITS)))
    assert flat.mode == "RGB" and flat.getpixel((0, 0)) == (10, 20, 30) and flat.getpixel((0, 63)) == (255, 255, 255)


@pytest.mark.parametrize("encoded", [None, b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", bytes(100_001)])
def test_invalid_pictures_are_refused(encoded: bytes | None) -> None:
    with pytest.raises(ImageError):
        fit(encoded, LIMITS)
