"""What lies under clear pixels: a photo, or what filled them."""

from __future__ import annotations

import numpy as np

from p2i_ray.data.cutouts import hidden

ALPHA = np.zeros((20, 20), np.uint8)
ALPHA[5:15, 5:15] = 255


def under(colours: np.ndarray) -> tuple[int, int, int] | None:
    return hidden.filling(np.dstack([colours, ALPHA]))


def test_one_colour_fills_them_but_for_a_tenth_at_most() -> None:
    filled = np.full((20, 20, 3), (9, 8, 7), np.uint8)
    assert under(filled) == (9, 8, 7)
    filled[0, :20] = 200  # 20 of 300 clear pixels, as along a product of a file that was scaled
    assert under(filled) == (9, 8, 7)
    filled[1, :20] = 200
    assert under(filled) is None


def test_a_photo_and_a_picture_without_clear_pixels_have_none() -> None:
    scene = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    assert under(scene) is None
    assert hidden.filling(np.dstack([scene, np.full((20, 20), 255, np.uint8)])) is None
