"""What a mask file means: a product of 8 x 8 pixels in the middle of 16 x 16."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from p2i_ray.data.cutouts.given_masks import product_of
from p2i_ray.data.errors import ImageError
from p2i_ray.data.images import Pixels

BOX = np.zeros((16, 16), np.uint8)
BOX[4:12, 4:12] = 255
FULL = np.full_like(BOX, 255)
NOISE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def rgba(colours: Pixels, alpha: Pixels = FULL) -> Pixels:
    """Pixels (H, W, 4) of grey levels (H, W) or colours (H, W, 3)."""
    return np.dstack([*([colours] * 3 if colours.ndim == 2 else [colours]), alpha])


def jpeg(mask: Pixels) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(mask).convert("RGB").save(file, "JPEG", quality=40)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize(
    "mask",
    [
        rgba(BOX),
        rgba(BOX, np.full_like(BOX, 254)),  # nothing is clear
        rgba(FULL, BOX),
        rgba(0 * BOX, BOX),
        rgba(NOISE, BOX),
        rgba(BOX, BOX),
    ],
)
def test_levels_or_what_is_opaque_say_what_the_product_is(mask: Pixels) -> None:
    assert np.array_equal(product_of(mask), BOX)


def test_soft_edges_and_the_noise_of_a_jpeg_stay() -> None:
    soft = (BOX // 3 * 2) | 7
    assert np.array_equal(product_of(rgba(soft)), soft)
    assert np.array_equal(product_of(rgba(jpeg(BOX))) >= 128, BOX >= 128)


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (rgba(np.dstack([0 * BOX, BOX, 0 * BOX])), "it is in colours"),  # green on black
        (rgba(np.dstack([BOX, BOX, 255 - BOX])), "it is in colours"),  # yellow on blue
        (rgba(NOISE), "it is in colours"),  # a photo
        (rgba(BOX // 255), "its brightest level is 1; the product must be white, level 255"),
        (rgba(255 - BOX), "its corners are white"),
        (rgba(NOISE, 255 - BOX), "its corners are opaque"),
        (rgba(BOX, FULL * (np.arange(16) > 1)), "it has black and white, and transparency too"),
    ],
)
def test_what_cannot_be_told_is_no_mask(mask: Pixels, reason: str) -> None:
    with pytest.raises(ImageError, match=f"^bad mask: {reason}"):
        product_of(mask)
