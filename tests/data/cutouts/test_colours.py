"""The product's own colours, worked out by hand from a = share of the product in a pixel: I = a F + (1 - a) B."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from p2i_ray.data.cutouts.colours import decontaminate, fill_clear, resize

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
