from __future__ import annotations

import numpy as np

from p2i_ray.compositing.ground import contact
from p2i_ray.compositing.shadow import darken, missing_share, occlusion

SIDE = 200
MASK = np.zeros((SIDE, SIDE), np.uint8)
MASK[60:150, 70:130] = 255


def shade(side: float = 0.0) -> np.ndarray:
    found = contact(MASK)
    assert found is not None
    return occlusion(MASK, found, side)


def grey(level: int = 150) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), level, np.uint8)


def test_it_is_deepest_at_the_contact_and_decays_away() -> None:
    found = shade()
    assert found.min() >= 0 and found.max() <= 1
    below = found[150:190, 100]
    assert below[0] > 0.8 and (np.diff(below) <= 1e-6).all() and below[35] < 0.01
    assert found[40, 100] < 0.01 and found[150, 5] < 0.02  # above the product, and far beside it
    assert abs(found[150, 60] - found[150, 139]) < 0.02  # the same on both sides of the product


def test_it_falls_away_from_the_light() -> None:
    from_left, from_right = shade(-1.0), shade(1.0)
    assert from_left[155, 140:160].sum() > 1.5 * from_left[155, 40:60].sum()
    np.testing.assert_allclose(from_left[155, ::-1], from_right[155], atol=0.05)


def test_it_has_no_edge_where_the_product_stands_at_a_border() -> None:
    mask = np.roll(MASK, -70, axis=1)
    for side, turned in ((-1.0, mask), (1.0, np.fliplr(mask))):
        found = contact(turned)
        assert found is not None
        assert np.abs(np.diff(occlusion(turned, found, side)[155:], axis=1)).max() < 0.05


def test_light_is_multiplied() -> None:
    picture, factor = grey(200), np.full((SIDE, SIDE), 0.5, np.float32)
    dark = darken(picture, picture, MASK, factor)
    assert (dark[MASK == 0] == round(200 * 0.5 ** (1 / 2.2))).all() and (dark[MASK == 255] == 200).all()


def test_of_a_soft_pixel_the_scene_alone_is_darkened() -> None:
    product, mask = np.full((1, 2, 3), 240, np.uint8), np.array([[51, 255]], np.uint8)  # a fifth of it is the product's
    picture = np.array([[[128] * 3, [240] * 3]], np.uint8)  # 0.2 * 240 + 0.8 * 100
    dark = darken(picture, product, mask, np.zeros((1, 2), np.float32))
    assert dark[0, 0].tolist() == [48] * 3 and dark[0, 1].tolist() == [240] * 3  # the product's share is left


def test_a_shadow_that_is_there_is_not_drawn_twice() -> None:
    found = shade()
    assert missing_share(grey(), MASK, found, 0.6) == 0.6
    once = darken(grey(), grey(), MASK, 1 - 0.6 * found)
    assert missing_share(once, MASK, found, 0.6) < 0.1
    half = darken(grey(), grey(), MASK, 1 - 0.3 * found)
    assert 0.2 < missing_share(half, MASK, found, 0.6) < 0.4


def test_texture_is_no_shadow() -> None:
    rng = np.random.default_rng(0)
    texture = np.repeat(rng.integers(60, 200, (SIDE, SIDE, 1), np.uint8), 3, axis=2)
    assert missing_share(texture, MASK, shade(), 0.6) == 0.6


def test_a_black_scene_stays_black() -> None:
    assert missing_share(grey(0), MASK, shade(), 0.6) == 0.6
    assert not darken(grey(0), grey(0), MASK, 1 - shade()).any()
