"""Which part of a picture is measured where pictures are not square."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from p2i_ray.config import ImageConfig
from p2i_ray.evaluate.preprocess import generated_images, real_picture
from tests.support.generated_rows import picture, png

SIDE = 32
LIMITS = ImageConfig(resolution=SIDE)


def wide_row(left: int, right: int) -> dict[str, Any]:
    """A picture of 64x32 whose product is between two columns."""
    alpha = np.zeros((SIDE, 2 * SIDE), np.uint8)
    alpha[8:24, left:right] = 255
    whole = picture(3, (SIDE, 2 * SIDE, 3))
    return {"image": png(whole), "cutout": png(np.dstack([whole, alpha])), "error": None, "pixels": whole}


@pytest.mark.parametrize(
    ("left", "right", "start"),
    [
        (26, 40, 16),  # the middle shows it
        (4, 20, 4),
        (44, 60, 28),
        (0, 3, 0),
        (10, 62, 20),  # longer than the square: its middle, 36
    ],
)
def test_the_square_shows_the_product(left: int, right: int, start: int) -> None:
    row = wide_row(left, right)
    part = row["pixels"][:, start : start + SIDE]
    found, real = generated_images(row, LIMITS), real_picture(row, LIMITS)
    assert found is not None and real is not None
    np.testing.assert_array_equal(found.picture, part)
    np.testing.assert_array_equal(real, part)  # FID compares like
    columns = (found.product != 127).any(axis=(0, 2))
    assert columns.sum() == min(right, start + SIDE) - max(left, start)


def test_a_cutout_of_twice_the_size_has_the_same_square() -> None:
    row = wide_row(4, 20)
    twice = np.repeat(np.repeat(np.dstack([row["pixels"], np.zeros((SIDE, 2 * SIDE), np.uint8)]), 2, axis=0), 2, axis=1)
    twice[16:48, 8:40, 3] = 255
    found = generated_images({**row, "cutout": png(twice)}, LIMITS)
    assert found is not None
    np.testing.assert_array_equal(found.picture, row["pixels"][:, 4 : 4 + SIDE])


def test_without_a_cutout_it_is_the_middle() -> None:
    row = wide_row(0, 3)
    real = real_picture({"image": row["image"]}, LIMITS)
    assert real is not None
    np.testing.assert_array_equal(real, row["pixels"][:, 16:48])


@pytest.mark.parametrize(("fill", "level"), [("grey", 127), ("white", 255), ("black", 0)])
def test_what_is_around_the_cutout_and_in_place_of_the_product(fill: str, level: int) -> None:
    found = generated_images(wide_row(26, 40), LIMITS, fill)
    assert found is not None
    assert (found.product[found.mask == 0] == level).all() and (found.background[found.mask == 255] == level).all()
    np.testing.assert_array_equal(found.background[found.mask == 0], found.picture[found.mask == 0])
