"""Square pictures that hold the whole product."""

from __future__ import annotations

import numpy as np
import pytest

from p2i_ray.data.cutouts.framing import _fold, to_square
from p2i_ray.data.images import Pixels


def scene(height: int, width: int, rows: slice, columns: slice) -> tuple[Pixels, Pixels]:
    """A red product on green."""
    photo = np.zeros((height, width, 3), np.uint8)
    photo[..., 1] = 200
    mask = np.zeros((height, width), np.uint8)
    mask[rows, columns] = 255
    photo[mask > 0] = (200, 0, 0)
    return photo, mask


@pytest.mark.parametrize("left", [0, 30, 150, 180])
def test_the_product_stays_whole_and_its_size(left: int) -> None:
    photo, mask = scene(100, 200, slice(40, 60), slice(left, left + 20))
    picture, cut = to_square(photo, mask, 100)  # the largest square: no resizing
    assert picture.shape == (100, 100, 3) and cut.shape == (100, 100)
    assert (cut > 0).sum() == 20 * 20
    assert np.array_equal(picture[..., 0] > 100, cut > 0)  # the mask fits the picture


def test_a_product_in_the_middle_stays_there() -> None:
    photo, mask = scene(100, 200, slice(40, 60), slice(120, 140))
    _, cut = to_square(photo, mask, 100)
    assert np.flatnonzero(cut.any(axis=0)).tolist() == list(range(40, 60))


def test_a_product_longer_than_the_photo_is_high_is_not_cut() -> None:
    photo, mask = scene(100, 300, slice(30, 70), slice(10, 290))
    picture, cut = to_square(photo, mask, 300)
    assert (cut >= 128).sum() == 40 * 280
    rows = np.flatnonzero(cut.any(axis=1))
    assert rows[0] == 130 and rows[-1] == 169  # in the middle, 100 mirrored rows above and below
    outside = picture[cut == 0].astype(int)
    assert np.abs(outside - [0, 200, 0]).max() < 60  # background is mirrored there, never the product
    assert picture[:90, :, 0].max() == 0 and picture[-90:, :, 0].max() == 0


def test_the_strip_is_mirrored_back_and_forth() -> None:
    assert _fold(np.arange(8), 3).tolist() == [0, 1, 2, 2, 1, 0, 0, 1]


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 2)])
def test_tiny_photos_come_out_too(size: tuple[int, int]) -> None:
    photo, mask = np.zeros((*size, 3), np.uint8), np.full(size, 255, np.uint8)
    picture, cut = to_square(photo, mask, 64)
    assert picture.shape == (64, 64, 3) and cut.shape == (64, 64) and cut.max() > 200
