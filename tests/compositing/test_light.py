from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.compositing.light import Gains, apply, difference, gains, undo

SIDE = 60
MASK = np.zeros((SIDE, SIDE), np.uint8)
MASK[20:40, 20:40] = 255


def two_tone(product: tuple[int, int, int], scene: tuple[int, int, int]) -> np.ndarray:
    picture = np.full((SIDE, SIDE, 3), scene, np.uint8)
    picture[MASK > 0] = product
    return picture


def test_the_map_by_hand() -> None:
    """Level 188 has 0.503 of the light; with 3/2 it is 0.754 / 1.251 = 0.603, level 204; with 2/3 0.403, level 170."""
    picture = np.full((1, 1, 3), 188, np.uint8)
    found = apply(picture, np.full((1, 1), 255, np.uint8), Gains(1.5, 1.0, 2 / 3))
    assert found.tolist() == [[[204, 188, 170]]]


def test_the_product_gets_the_colour_of_the_scene_where_bounds_allow() -> None:
    picture = two_tone((120, 120, 120), (130, 120, 112))
    found = gains(picture, MASK, MASK == 0, strength=1, most=50)
    assert found is not None
    lit = apply(picture, MASK, found)
    np.testing.assert_allclose(lit[30, 30], (130, 120, 112), atol=1)
    np.testing.assert_array_equal(lit[MASK == 0], picture[MASK == 0])
    half = gains(picture, MASK, MASK == 0, strength=0.5, most=50)
    assert half is not None
    np.testing.assert_allclose(np.log(half), np.log(found) / 2, atol=1e-6)


def test_bounds_keep_the_tint() -> None:
    found = gains(two_tone((128, 128, 128), (250, 128, 60)), MASK, MASK == 0, strength=1, most=50)
    assert found is not None
    assert found.red == pytest.approx(1.5)  # red reaches its bound first
    assert found.red > 1 and found.green == pytest.approx(1) and found.blue < 1


@pytest.mark.parametrize("most", [0.5, 3.0, 6.0])
@pytest.mark.parametrize("scene", [(255, 255, 255), (0, 0, 0), (255, 0, 0), (20, 90, 200)])
def test_the_difference_is_bounded(most: float, scene: tuple[int, int, int]) -> None:
    picture = two_tone((0, 0, 0), scene)
    picture[MASK > 0] = np.random.default_rng(0).integers(0, 256, (400, 3), np.uint8)
    found = gains(picture, MASK, MASK == 0, strength=1, most=most)
    assert found is not None
    assert difference(picture, apply(picture, MASK, found), MASK) <= most
    assert all(1 / 1.5 - 1e-9 <= one <= 1.5 + 1e-9 for one in found)


gain = st.floats(2 / 3, 1.5)


@given(gain, gain, gain, st.integers(0, 255))
def test_undone_within_a_level_for_every_level_and_weight(red: float, green: float, blue: float, weight: int) -> None:
    picture = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    weights = np.full((1, 256), weight, np.uint8)
    back = undo(apply(picture, weights, Gains(red, green, blue)), weights, Gains(red, green, blue))
    assert np.abs(back.astype(int) - picture).max() <= 1


def test_without_product_or_scene_there_are_no_gains() -> None:
    picture, nothing = two_tone((0, 0, 0), (255, 255, 255)), np.zeros((SIDE, SIDE), np.uint8)
    assert gains(picture, nothing, MASK == 0, strength=1, most=3) is None
    assert gains(picture, MASK, nothing > 0, strength=1, most=3) is None


def test_one_and_the_same_colour_needs_none() -> None:
    found = gains(two_tone((90, 90, 90), (90, 90, 90)), MASK, MASK == 0, strength=1, most=3)
    assert found is not None
    np.testing.assert_allclose(found, 1, atol=1e-6)
