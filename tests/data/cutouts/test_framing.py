"""Square pictures that hold the whole product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.config.shapes import Size
from p2i_ray.data.cutouts.framing import (
    Window,
    crop_cutout,
    crop_mask,
    crop_scene,
    cutout_window,
    extent_of,
    scene_window,
)
from p2i_ray.data.images import Pixels

SIZE = Size(32, 32)


def scene(height: int, width: int, rows: slice, columns: slice) -> tuple[Pixels, Pixels]:
    """A red product on green."""
    photo = np.zeros((height, width, 3), np.uint8)
    photo[..., 1] = 200
    mask = np.zeros((height, width), np.uint8)
    mask[rows, columns] = 255
    photo[mask > 0] = (200, 0, 0)
    return photo, mask


def to_square(photo: Pixels, mask: Pixels, side: int) -> tuple[Pixels, Pixels]:
    window = scene_window(mask)
    assert window is not None
    size = Size(side, side)
    return crop_scene(photo, window, size), crop_mask(mask, window, size)


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
    photo, mask = scene(100, 200, slice(45, 55), slice(20, 160))
    photo[..., 2] = np.arange(100)[:, None]
    picture, cut = to_square(photo, mask, 154)  # a margin of 7 pixels on both sides: no resizing
    assert (cut >= 128).sum() == 10 * 140
    rows = np.flatnonzero(cut.any(axis=1))
    assert rows[0] == 72 and rows[-1] == 81  # in the middle, 27 mirrored rows above and below
    assert picture[:, 0, 2].tolist() == [*range(26, -1, -1), *range(100), *range(99, 72, -1)]
    assert (picture[cut == 0][:, :2] == [0, 200]).all()  # background is mirrored there, never the product


def test_a_product_that_fits_into_the_photo_needs_no_invented_margin() -> None:
    _, mask = scene(100, 150, slice(1, 100), slice(20, 80))  # it stands on the edge of the photo
    assert scene_window(mask) == (0, 0, 100, 100)


def test_without_surroundings_there_is_no_square_of_a_scene() -> None:
    _, mask = scene(100, 300, slice(0, 100), slice(10, 290))  # 104 rows would have to come from nothing
    assert scene_window(mask) is None
    _, mask = scene(100, 300, slice(30, 70), slice(10, 290))  # 30 rows would have to make 97, mirrored over and over
    assert scene_window(mask) is None
    _, mask = scene(100, 100, slice(0, 100), slice(0, 60))  # touches three sides, and the square needs no more
    assert scene_window(mask) == (0, 0, 100, 100)


@pytest.mark.parametrize(("height", "width"), [(100, 100), (60, 100), (100, 20)])
def test_a_trimmed_cutout_gets_a_margin(height: int, width: int) -> None:
    cutout = np.full((height, width, 4), (200, 60, 40, 255), np.uint8)
    window = cutout_window(cutout[..., 3])
    assert (window.height, window.width) == (110, 110)  # a margin of 5 % of the longer side
    framed = crop_cutout(cutout, window, Size(110, 110))
    rows, columns = np.flatnonzero(framed[..., 3].any(axis=1)), np.flatnonzero(framed[..., 3].any(axis=0))
    assert (rows[0], len(rows), columns[0], len(columns)) == ((110 - height) // 2, height, (110 - width) // 2, width)
    assert (framed[..., :3] == (200, 60, 40)).all()  # nothing else is mirrored or mixed in, clear pixels are filled


def test_a_small_cutout_keeps_its_canvas_and_one_at_its_edge_gets_room() -> None:
    _, mask = scene(100, 200, slice(40, 60), slice(120, 140))
    assert cutout_window(mask) == (0, 80, 100, 100)
    _, mask = scene(100, 200, slice(0, 20), slice(180, 200))
    assert cutout_window(mask) == (-1, 101, 100, 100)  # 5 % of 20 pixels


def test_stray_pixels_do_not_move_the_frame() -> None:
    _, mask = scene(400, 400, slice(100, 300), slice(100, 300))
    clean = extent_of(mask)
    mask[0, 0] = mask[399, 5:8] = 255
    mask[5, 390] = 40
    assert extent_of(mask) == clean == (slice(100, 300), slice(100, 300))
    mask[350:362, 200:212] = 255  # 144 pixels of 40,000: a part of the product
    assert extent_of(mask)[0] == slice(100, 362)


def test_soft_shadows_belong_to_the_extent() -> None:
    _, mask = scene(100, 100, slice(40, 60), slice(40, 60))
    mask[60:70, 30:70] = 20
    assert extent_of(mask) == (slice(40, 70), slice(30, 70))


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 2)])
def test_tiny_cutouts_come_out_too(size: tuple[int, int]) -> None:
    cutout = np.full((*size, 4), 255, np.uint8)
    framed = crop_cutout(cutout, cutout_window(cutout[..., 3]), Size(64, 64))
    assert framed.shape == (64, 64, 4) and framed[..., 3].max() > 200


def test_a_window_within_a_picture_holds_its_own_pixels() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    mask = np.random.default_rng(1).integers(0, 256, (40, 60), np.uint8)
    window = Window(3, 20, 32, 32)
    picture, cut = crop_scene(photo, window, SIZE), crop_mask(mask, window, SIZE)
    assert np.array_equal(picture, photo[3:35, 20:52]) and np.array_equal(cut, mask[3:35, 20:52])
    cutout = crop_cutout(np.dstack([photo, np.maximum(mask, 1)]), Window(8, 28, 32, 32), SIZE)
    assert np.array_equal(cutout, np.dstack([photo, np.maximum(mask, 1)])[8:40, 28:60])


@pytest.mark.parametrize(("aspect", "expected"), [(1.0, (0, 0, 80, 80)), (2.0, (0, 0, 80, 160)), (0.5, (0, 0, 80, 40))])
def test_other_shapes_are_the_largest_parts_around_the_product(aspect: float, expected: tuple[int, ...]) -> None:
    _, mask = scene(80, 160, slice(20, 60), slice(5, 25))
    assert scene_window(mask, aspect) == cutout_window(mask, aspect) == expected


def test_a_product_too_wide_for_a_tall_shape_takes_mirrored_strips_or_another_shape() -> None:
    photo, mask = scene(100, 100, slice(40, 60), slice(8, 92))
    window = scene_window(mask, 0.8)
    assert window == (-9, 3, 118, 94)  # 84 columns and 5 on both sides need 118 rows: 9 are mirrored above and below
    picture, cut = crop_scene(photo, window, Size(94, 118)), crop_mask(mask, window, Size(94, 118))
    assert picture.shape == (118, 94, 3) and (cut > 0).sum() == 20 * 84
    assert np.array_equal(picture[..., 0] > 100, cut > 0)
    assert scene_window(mask, 0.25) is None  # 336 rows of 100 would be mirrored over and over


@given(
    height=st.integers(8, 90),
    width=st.integers(8, 90),
    aspect=st.sampled_from([1.0, 0.75, 0.8, 4 / 3, 16 / 9, 448 / 576]),
    edges=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_no_shape_ever_cuts_a_product(height: int, width: int, aspect: float, edges: tuple[float, ...]) -> None:
    top, bottom = sorted(int(edge * (height - 1)) for edge in edges[:2])
    left, right = sorted(int(edge * (width - 1)) for edge in edges[2:])
    mask = np.zeros((height, width), np.uint8)
    mask[top : bottom + 1, left : right + 1] = 255
    for window in (scene_window(mask, aspect), cutout_window(mask, aspect)):
        if window is not None:
            assert window.top <= top and bottom < window.top + window.height
            assert window.left <= left and right < window.left + window.width
            assert abs(window.width - window.height * aspect) <= 1
