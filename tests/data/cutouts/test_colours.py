"""The product's own colours, worked out by hand from a = share of the product in a pixel: I = a F + (1 - a) B."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from p2i_ray.data.cutouts.colours import decontaminate, fill_clear, resize, resize_mask, unmatte
from p2i_ray.data.images import Pixels

RED, GREEN, WHITE = (200, 0, 0), (0, 200, 0), (255, 255, 255)


@pytest.mark.parametrize("background", [GREEN, WHITE, (0, 0, 0)])
def test_a_soft_edge_holds_the_product_alone(background: tuple[int, int, int]) -> None:
    mask = np.array([[0, 0, 64, 128, 192, 255, 255]] * 3, np.uint8)
    share = mask[..., None] / 255
    picture = (np.array(RED) * share + np.array(background) * (1 - share)).round().astype(np.uint8)
    cutout = decontaminate(picture, mask)
    assert np.array_equal(cutout[..., 3], mask)
    assert np.abs(cutout[..., :3].astype(int) - RED).max() <= 1


def test_texture_within_an_edge_stays() -> None:
    mask = np.array([[0, 128, 255]], np.uint8)
    picture = np.array([[GREEN, (100, 100, 50), RED]], np.uint8)  # half red, half green, and 50 of blue on top
    assert np.abs(decontaminate(picture, mask)[0, 1].astype(int) - (200, 0, 25, 128)).max() <= 1


def blended(own: Pixels, mask: Pixels, background: tuple[int, int, int]) -> Pixels:
    """A photo (H, W, 3) of a product of these colours (H, W, 3) before a plain background."""
    share = mask[..., None] / 255
    return np.asarray((own * share + np.array(background) * (1 - share)).round().astype(np.uint8))


@pytest.mark.parametrize("level", [64, 128, 192])
def test_a_cord_has_its_own_colour_and_not_that_of_what_it_hangs_on(level: int) -> None:
    mask, own = np.zeros((40, 40), np.uint8), np.full((40, 40, 3), 240, np.uint8)
    mask[24:36, 8:32] = 255  # a white lamp
    mask[:24, 20], mask[:24, 21], own[:24] = level, level // 3, 20  # a black cord, nowhere sure
    cutout = decontaminate(blended(own, mask, (120, 150, 120)), mask)
    assert np.abs(cutout[:21, 20:22, :3].astype(int) - 20).max() <= 32
    assert np.abs(cutout[24:36, 8:32, :3].astype(int) - 240).max() == 0


@pytest.mark.parametrize("has_cap", [True, False])
def test_glass_has_its_own_colour_and_not_that_of_the_cap(has_cap: bool) -> None:
    mask, own = np.zeros((40, 40), np.uint8), np.full((40, 40, 3), (180, 200, 210), np.uint8)
    mask[12:36, 10:30] = 128
    if has_cap:
        mask[4:12, 16:24], own[4:12] = 255, RED
    cutout = decontaminate(blended(own, mask, (90, 80, 70)), mask)
    assert np.abs(cutout[14:36, 10:30, :3].astype(int) - (180, 200, 210)).max() <= 10


def test_clear_pixels_get_the_nearest_colour_and_faint_ones_keep_theirs() -> None:
    cutout = np.zeros((1, 5, 4), np.uint8)
    cutout[0, 1] = (0, 0, 0, 40)  # a shadow: black, not the product's colour
    cutout[0, 2] = (*RED, 255)
    cutout[0, 3] = (90, 120, 130, 60)  # glass
    assert fill_clear(cutout)[0].tolist() == [[*RED, 0], [0, 0, 0, 40], [*RED, 255], [90, 120, 130, 60], [*RED, 0]]


def test_what_is_clear_everywhere_stays() -> None:
    assert not fill_clear(np.zeros((3, 3, 4), np.uint8)).any()


@pytest.mark.parametrize("side", [8, 32])
def test_black_under_clear_pixels_does_not_reach_an_edge(side: int) -> None:
    cutout = np.zeros((16, 16, 4), np.uint8)
    cutout[:, 7:] = (*RED, 255)
    cutout[:, 6] = (*RED, 128)
    small = resize(cutout, side, side)
    assert (small[..., :3] == RED).all()
    if side == 8:  # a pixel of two columns: clear and half, then clear alone
        assert small[0, 3].tolist() == [*RED, 192] and small[0, 2].tolist() == [*RED, 0]


def test_resizing_agrees_with_pillow_where_both_average() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 4), np.uint8)
    noise[..., 3] |= 128
    pillow = np.asarray(Image.fromarray(noise).resize((8, 8), Image.Resampling.BOX))
    assert np.abs(resize(noise, 8, 8).astype(int) - pillow).max() <= 2  # Pillow rounds before and after


def disc(colour: tuple[int, int, int], background: tuple[int, int, int] | None) -> Pixels:
    """A disc with a soft edge of six pixels; its colours blended with a background, or not."""
    y, x = np.mgrid[:80, :80]
    alpha = ((34 - np.hypot(x - 39.5, y - 39.5)) / 6).clip(0, 1)[..., None]
    colours = np.full((80, 80, 3), colour, float)
    if background is not None:
        colours = alpha * colours + (1 - alpha) * background
    return np.dstack([colours.round(), alpha * 255]).round().astype(np.uint8)


@pytest.mark.parametrize("colour", [(200, 60, 40), (20, 30, 90), (120, 120, 120)])
@pytest.mark.parametrize("level", [255, 0])
def test_a_matte_is_taken_out_of_soft_edges(colour: tuple[int, int, int], level: int) -> None:
    blended = disc(colour, (level,) * 3)
    mended = unmatte(blended)
    visible = mended[..., 3] > 0
    assert np.abs(mended[visible][:, :3].astype(int) - colour).max() <= 11  # a level of rounding at alpha 24
    assert np.array_equal(mended[..., 3], blended[..., 3])


@pytest.mark.parametrize("colour", [(200, 60, 40), (255, 255, 255), (0, 0, 0)])
def test_edges_of_the_products_own_colour_stay(colour: tuple[int, int, int]) -> None:
    assert np.array_equal(unmatte(disc(colour, None)), disc(colour, None))


@pytest.mark.parametrize("level", [0, 40, 255])
def test_shadows_and_glows_stay(level: int) -> None:
    """What lies beside the product, a third opaque, is no blend of it."""
    cutout = disc((200, 60, 40), None)
    cutout[70:, :] = (level, level, level, 85)
    assert np.array_equal(unmatte(cutout), cutout)


def test_an_edge_blended_with_another_colour_stays() -> None:
    assert np.array_equal(unmatte(disc((200, 60, 40), (0, 200, 0))), disc((200, 60, 40), (0, 200, 0)))


def on_canvas(seed: int, height: int, width: int) -> Pixels:
    """Noisy shapes with soft edges, blended with white, black or nothing, anywhere on a clear canvas of any colours."""
    random = np.random.default_rng(seed)
    cutout = random.integers(0, 256, (height, width, 4), np.uint8)
    cutout[..., 3] = 0
    for _ in range(random.integers(1, 4)):
        rows, columns = (slice(*sorted(random.integers(0, length, 2))) for length in (height, width))
        cutout[rows, columns, 3] = 255
    cutout[..., 3] = cv2.blur(cutout[..., 3], (5, 5))
    share = cutout[..., 3:] / 255
    matte = random.choice([0.0, 255.0, np.nan])
    colours = random.integers(0, 256, 3) + random.normal(0, random.choice([0, 4]), (height, width, 3))
    blended = colours if np.isnan(matte) else share * colours + (1 - share) * matte
    cutout[..., :3] = np.where(share > 0, blended.round().clip(0, 255), cutout[..., :3])
    return cutout


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(8, 90), width=st.integers(8, 90))
def test_clear_canvas_around_a_cutout_changes_nothing(seed: int, height: int, width: int) -> None:
    """Only the product's own rows and columns are looked at; others would find nothing else."""
    cutout = on_canvas(seed, height, width)
    cutout[[0, -1]] = cutout[:, [0, -1]] = 0
    opaque = cutout.copy()
    opaque[[0, 0, -1, -1], [0, -1, 0, -1], 3] = 1  # faint corners: now all of the frame is the product's
    framed, whole = unmatte(cutout), unmatte(opaque)
    inside = cutout[..., 3] > 0
    assert np.array_equal(framed[inside], whole[inside])
    assert np.array_equal(framed[~inside], cutout[~inside])


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.sampled_from([24, 32, 40, 48, 50, 60, 64, 75, 96, 125]),
    width=st.sampled_from([24, 32, 48, 49, 50, 61, 64, 75, 100, 125]),
    side=st.sampled_from([8, 16, 20, 24]),
)
def test_resizing_the_products_part_alone_gives_the_same_bits(seed: int, height: int, width: int, side: int) -> None:
    cutout = on_canvas(seed, height, width)
    colours, alpha = cutout[..., :3].astype(np.float32), cutout[..., 3:].astype(np.float32)
    weighted = np.dstack([colours * (alpha / 255), alpha])
    small = cv2.resize(weighted, (side, side), interpolation=cv2.INTER_AREA)
    clear = small[..., 3:] == 0
    small[..., :3] = np.where(clear, 0, small[..., :3] * 255 / np.where(clear, 1, small[..., 3:]))
    expected = fill_clear(small.round().clip(0, 255).astype(np.uint8))
    assert np.array_equal(resize(cutout, side, side), expected)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 40), width=st.integers(1, 40))
def test_the_filling_is_the_nearest_products(seed: int, height: int, width: int) -> None:
    """Nearest within a twentieth, as distances of 5 x 5 neighbourhoods are."""
    cutout = on_canvas(seed, height, width)
    filled, alpha = fill_clear(cutout), cutout[..., 3]
    known = np.argwhere(alpha >= 128)
    if not len(known):
        known = np.argwhere(alpha > 0)
    assert np.array_equal(filled[alpha > 0], cutout[alpha > 0])
    for y, x in np.argwhere(alpha == 0) if len(known) else ():
        away = np.hypot(*(known - (y, x)).T)
        near = known[away <= 1.05 * away.min()]
        assert (cutout[near[:, 0], near[:, 1], :3] == filled[y, x, :3]).all(axis=1).any() and filled[y, x, 3] == 0


@pytest.mark.parametrize("size", [(64, 48), (32, 24), (50, 37), (100, 90)])
def test_a_mask_is_resized_as_the_alpha_of_a_cutout_is(size: tuple[int, int]) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[9:40, 20:] = np.random.default_rng(0).integers(0, 256, (31, 44), np.uint8)
    cutout = np.dstack([mask, mask, mask, mask])
    assert np.array_equal(resize_mask(mask, *size), resize(cutout, *size)[..., 3])
