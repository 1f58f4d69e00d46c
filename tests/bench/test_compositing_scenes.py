"""Products in scenes: where they stand, and that what is measured of them is what was done."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bench.compositing_scenes import placed, real, toy
from p2i_ray.data.images import paste_product


def test_a_cutout_is_scaled_and_stands_near_the_lower_border() -> None:
    cutout = np.zeros((60, 40, 4), np.uint8)
    cutout[10:50, 10:30] = (200, 40, 30, 255)
    scene = np.full((200, 160, 3), 90, np.uint8)
    one = placed("box", cutout, scene, 100)
    rows, columns = np.nonzero(one.mask >= 128)
    assert (rows.min(), rows.max() + 1) == (72, 172) and (columns.min(), columns.max() + 1) == (55, 105)
    assert (one.picture[one.mask == 255] == (200, 40, 30)).all() and (one.picture[one.mask == 0] == 90).all()


def test_toy_pictures_are_the_worlds_own() -> None:
    for one in toy(3):
        assert one.picture.shape == (64, 64, 3) and set(np.unique(one.mask)) == {0, 255}


@pytest.mark.long
def test_every_real_product_is_in_every_real_scene() -> None:
    found = list(itertools.islice(real(64), 6))
    assert len({one.name for one in found}) == 6
    for one in found:
        assert one.mask.max() == 255 and one.mask.min() == 0
        np.testing.assert_array_equal(one.picture, paste_product(one.scene, one.product, one.mask))
