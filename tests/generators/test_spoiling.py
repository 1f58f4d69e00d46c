"""Spoilt pictures: what shows where, for pictures, masks and settings of all kinds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.config.generators import SpoilingConfig
from p2i_ray.data.images import Pixels
from p2i_ray.generators.spoiling import seed_of, spoil, translated

OFF = SpoilingConfig(enabled=False)
NOTHING = SpoilingConfig(dilation=0, boxes=0, shift=0)

fractions = st.floats(0, 0.5)
settings = st.builds(
    SpoilingConfig,
    dilation=fractions,
    boxes=st.integers(0, 4),
    box=st.floats(0.01, 1),
    shift=fractions,
    shift_picture=st.booleans(),
)


def pictures(seed: int, height: int = 12, width: int = 20) -> tuple[Pixels, Pixels, Pixels]:
    """A picture of odd levels, a mask, and another picture of even levels."""
    random = np.random.default_rng(seed)
    image, other = (random.integers(0, 128, (height, width, 3), np.uint8) * 2 + odd for odd in (1, 0))
    mask = np.zeros((height, width), np.uint8)
    top, left = random.integers(height - 3), random.integers(width - 3)
    mask[top : top + random.integers(1, 4), left : left + random.integers(1, 4)] = 255
    return image.astype(np.uint8), mask, other.astype(np.uint8)


@given(settings, st.integers(0, 2**62), st.integers(0, 99), st.integers(6, 24), st.integers(6, 24))
def test_every_pixel_is_of_one_of_the_two_pictures(
    how: SpoilingConfig, seed: int, number: int, height: int, width: int
) -> None:
    image, mask, other = pictures(number, height, width)
    before = image.copy(), mask.copy(), other.copy()
    spoilt = spoil(image, mask, other, settings=how, seed=seed)
    assert spoilt.picture.shape == image.shape and spoilt.picture.dtype == np.uint8
    np.testing.assert_array_equal(spoilt.picture[..., 0] % 2 == 0, spoilt.replaced)  # even levels are the other's
    if not how.shift_picture:
        np.testing.assert_array_equal(spoilt.picture[~spoilt.replaced], image[~spoilt.replaced])
        np.testing.assert_array_equal(spoilt.picture[spoilt.replaced], other[spoilt.replaced])
        np.testing.assert_array_equal(spoilt.product, mask >= 128)
    again = spoil(image, mask, other, settings=how, seed=seed)
    for own, same in zip(spoilt, again, strict=True):
        np.testing.assert_array_equal(own, same)
    for value, was in zip((image, mask, other), before, strict=True):
        np.testing.assert_array_equal(value, was)


@given(st.builds(SpoilingConfig, dilation=fractions, boxes=st.integers(0, 4), shift=st.just(0)), st.integers(0, 999))
def test_before_it_is_moved_the_mask_holds_the_product(how: SpoilingConfig, seed: int) -> None:
    image, mask, other = pictures(seed)
    assert spoil(image, mask, other, settings=how, seed=seed).replaced[mask >= 128].all()


@pytest.mark.parametrize("how", [OFF, OFF.model_copy(update={"shift_picture": True})])
def test_without_spoiling_a_picture_stays_as_it_is(how: SpoilingConfig) -> None:
    image, mask, other = pictures(0)
    spoilt = spoil(image, mask, other, settings=how, seed=1)
    np.testing.assert_array_equal(spoilt.picture, image)
    np.testing.assert_array_equal(spoilt.product, mask >= 128)
    assert not spoilt.replaced.any()


def test_with_nothing_to_do_the_product_alone_is_replaced() -> None:
    image, mask, other = pictures(0)
    np.testing.assert_array_equal(spoil(image, mask, other, settings=NOTHING, seed=1).replaced, mask >= 128)


def test_seeds_and_rows_are_spoilt_differently() -> None:
    image, mask, other = pictures(3, 32, 32)
    seeds = [seed_of(seed, step, position) for seed in (0, 1) for step in (0, 1) for position in (0, 1)]
    made = {spoil(image, mask, other, settings=SpoilingConfig(), seed=seed).replaced.tobytes() for seed in seeds}
    assert len(set(seeds)) == 8 and len(made) == 8


def test_each_kind_of_spoiling_replaces_more_than_the_product() -> None:
    image, _, other = pictures(0, 40, 40)
    mask = np.zeros((40, 40), np.uint8)
    mask[18:22, 18:22] = 255
    for change in ({"dilation": 0.3}, {"boxes": 3}):
        how = NOTHING.model_copy(update=change)
        sizes = [spoil(image, mask, other, settings=how, seed=seed).replaced.sum() for seed in range(20)]
        assert min(sizes) >= 16 and max(sizes) > 32 and len(set(sizes)) > 5
    moved = [
        spoil(image, mask, other, settings=NOTHING.model_copy(update={"shift": 0.25}), seed=seed).replaced
        for seed in range(20)
    ]
    assert all(found.sum() == 16 for found in moved)  # at most 10 pixels: it stays within the picture
    corners = {tuple(np.argwhere(found)[0]) for found in moved}
    assert len(corners) > 10 and all(8 <= place <= 28 for corner in corners for place in corner)


def test_a_picture_that_is_moved_takes_its_product_along() -> None:
    image, mask, other = pictures(5, 40, 40)
    how = NOTHING.model_copy(update={"shift": 0.25, "shift_picture": True})
    moved = set()
    for seed in range(10):
        spoilt = spoil(image, mask, other, settings=how, seed=seed)
        [down, right] = np.argwhere(spoilt.product)[0] - np.argwhere(mask >= 128)[0]
        moved.add((down, right))
        own = ~spoilt.replaced
        np.testing.assert_array_equal(spoilt.picture[own], translated(image, down, right, fill=0)[own])
    assert len(moved) > 5


def test_translated_by_hand() -> None:
    values = np.array([[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(translated(values, 1, -1, fill=0), [[0, 0, 0], [2, 3, 0]])
    np.testing.assert_array_equal(translated(values, -1, 1, fill=9), [[9, 4, 5], [9, 9, 9]])
    np.testing.assert_array_equal(translated(values, 2, 0, fill=7), np.full((2, 3), 7))


@given(settings, st.integers(0, 2**62), st.integers(0, 99))
def test_no_pixel_of_the_product_is_left_where_the_copy_looks(how: SpoilingConfig, seed: int, number: int) -> None:
    image, mask, other = pictures(number)
    image[image == 255] = 253
    image[mask >= 128] = 255
    for chosen in (how, OFF):
        spoilt = spoil(image, mask, other, settings=chosen, seed=seed)
        assert not (spoilt.picture[~spoilt.product] == 255).any()
