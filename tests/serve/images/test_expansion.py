"""The product-expansion check, on pictures whose growth is known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data
from skimage.transform import resize

from p2i_ray.mini.world import CLEAN, render
from p2i_ray.serve.images.expansion import expansion


def scene(side: int) -> np.ndarray:
    """A real photo, greyish and textured."""
    photo = resize(data.rocket(), (side, side), anti_aliasing=True)  # type: ignore[no-untyped-call]  # scikit-image's
    return np.asarray(photo * 255).astype(np.uint8)


def bottle(side: int, grown: int = 0) -> tuple[np.ndarray, np.ndarray, float]:
    """A red bottle on a photo, its mask, and by how much of its area it goes on to the right."""
    picture, mask = scene(side), np.zeros((side, side), np.uint8)
    top, bottom, left, right = side // 4, 3 * side // 4, 3 * side // 8, 5 * side // 8
    mask[top:bottom, left:right] = 255
    shade = np.linspace(0.8, 1.1, side)[:, None, None]
    red = (np.array([200, 30, 40]) * shade * np.ones((side, side, 1))).astype(np.uint8)
    painted = mask.copy()
    painted[top + side // 16 : bottom - side // 16, right : right + grown] = 255
    picture[painted > 0] = red[painted > 0]
    return picture, mask, float((painted > mask).sum() / (mask > 0).sum())


@pytest.mark.parametrize("side", [64, 256, 512])
def test_a_product_that_ends_at_its_outline_has_not_grown(side: int) -> None:
    picture, mask, _ = bottle(side)
    assert expansion(picture, mask) < 0.02


@pytest.mark.parametrize("side", [64, 256, 512])
def test_growth_is_measured_in_the_products_area(side: int) -> None:
    picture, mask, grown = bottle(side, side // 8)
    assert grown == pytest.approx(0.375, abs=0.01)
    assert expansion(picture, mask) == pytest.approx(grown, abs=0.12)
    assert expansion(picture, mask) == expansion(picture, mask)


def test_a_thing_of_the_same_colour_elsewhere_is_no_growth() -> None:
    picture, mask, _ = bottle(256)
    picture[100:140, 2:20] = (200, 30, 40)
    assert expansion(picture, mask) < 0.02


def test_images_of_the_toy_world_have_grown_little() -> None:
    samples = [render(3, number, CLEAN) for number in range(20)]
    found = sorted(expansion(sample.image, sample.mask) for sample in samples)
    assert found[10] < 0.15


def test_nothing_to_measure_is_no_growth() -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    assert expansion(picture, np.zeros((32, 32), np.uint8)) == 0
    assert expansion(picture, np.full((32, 32), 255, np.uint8)) == 0
