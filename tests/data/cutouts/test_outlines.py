"""A box in a photo of noise: its own mask follows its outline, one that lies elsewhere doesn't."""

from __future__ import annotations

import numpy as np

from p2i_ray.data.cutouts.outlines import is_plainly_better

NOISE = np.random.default_rng(0).integers(90, 150, (300, 400, 3), np.uint8)
BOX = np.zeros((300, 400), np.uint8)
BOX[40:160, 60:200] = 255


def test_the_mask_that_follows_the_outline_is_better() -> None:
    photo = NOISE.copy()
    photo[BOX > 0] = (250, 20, 20)
    turned = np.ascontiguousarray(BOX[::-1, ::-1])
    assert is_plainly_better(BOX, turned, photo) and not is_plainly_better(turned, BOX, photo)
    assert not is_plainly_better(BOX, BOX, photo)


def test_where_nothing_is_seen_neither_is() -> None:
    turned = np.ascontiguousarray(BOX[::-1, ::-1])
    assert not is_plainly_better(BOX, turned, NOISE) and not is_plainly_better(turned, BOX, NOISE)
    assert not is_plainly_better(BOX, turned, 0 * NOISE) and not is_plainly_better(0 * BOX, 0 * BOX, NOISE)


def test_a_busy_background_is_no_outline() -> None:
    photo = np.full((*BOX.shape, 3), 120, np.uint8)
    photo[:, 205:] = NOISE[:, 205:]
    photo[BOX > 0] = 124  # a faint product
    assert not is_plainly_better(np.ascontiguousarray(BOX[::-1, ::-1]), BOX, photo)
