"""The weights-free cutter, on real photos: points chosen by eye, as fractions of the photo."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from p2i_ray.config import ImageConfig
from p2i_ray.data.cutouts.grabcut import find_product
from p2i_ray.data.cutouts.settings import CutoutConfig
from p2i_ray.data.images import ImageError, Pixels, decode
from tests.support.photos import photo

pytestmark = pytest.mark.long

SETTINGS = CutoutConfig()


def pixels(name: str) -> Pixels:
    return np.asarray(decode(photo(name).read_bytes(), ImageConfig()).convert("RGB"))


@pytest.mark.parametrize(
    ("name", "inside", "outside", "area"),
    [  # points (x, y) that a person calls product or background
        ("coffee.png", [(0.5, 0.3), (0.25, 0.6), (0.7, 0.75)], [(0.03, 0.5), (0.97, 0.2), (0.9, 0.95)], (0.4, 0.55)),
        ("chelsea.png", [(0.38, 0.4), (0.57, 0.8), (0.5, 0.25)], [(0.95, 0.2), (0.92, 0.8)], (0.25, 0.65)),
        ("astronaut.png", [(0.45, 0.2), (0.42, 0.42), (0.3, 0.75)], [(0.03, 0.2), (0.9, 0.3)], (0.3, 0.6)),
        ("rocket.jpg", [(0.5, 0.55), (0.5, 0.75)], [(0.3, 0.3), (0.8, 0.4), (0.4, 0.6)], (0.008, 0.04)),
        ("retina.jpg", [(0.5, 0.5), (0.2, 0.4), (0.5, 0.9)], [(0.02, 0.02), (0.98, 0.98)], (0.7, 0.8)),
    ],
)
def test_products_in_real_photos(
    name: str, inside: list[tuple[float, float]], outside: list[tuple[float, float]], area: tuple[float, float]
) -> None:
    image = pixels(name)
    mask = find_product(image, SETTINGS).mask
    height, width = image.shape[:2]
    assert mask.shape == (height, width) and mask.dtype == np.uint8
    assert [mask[int(y * height), int(x * width)] > 127 for x, y in inside] == [True] * len(inside)
    assert [mask[int(y * height), int(x * width)] > 127 for x, y in outside] == [False] * len(outside)
    assert area[0] < (mask > 127).mean() < area[1]


@pytest.mark.parametrize("name", ["hubble_deep_field.jpg", "moon.png", "brick.png", "grass.png", "page.png"])
def test_photos_without_a_product_are_set_aside(name: str) -> None:
    with pytest.raises(ImageError, match="no product found"):
        find_product(pixels(name), SETTINGS)


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (5, 5), (300, 300), (2000, 3)])
def test_plain_pictures_have_no_product(shape: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="no product found"):
        find_product(np.full((*shape, 3), 130, np.uint8), SETTINGS)


def test_the_outline_is_right_to_the_pixel_and_soft() -> None:
    image = np.full((600, 800, 3), (210, 205, 200), np.uint8)
    truth = cv2.ellipse(np.zeros((600, 800), np.uint8), (420, 310), (180, 130), 20, 0, 360, 255, -1)
    image[truth > 0] = (30, 60, 150)
    noisy = (image + np.random.default_rng(0).normal(0, 4, image.shape)).clip(0, 255).astype(np.uint8)
    mask = find_product(noisy, SETTINGS).mask
    both, either = ((mask > 127) & (truth > 0)).sum(), ((mask > 127) | (truth > 0)).sum()
    assert both / either > 0.97
    assert 0 < ((mask > 0) & (mask < 255)).mean() < 0.03  # an edge between, a few pixels wide
    assert np.array_equal(mask, find_product(noisy, SETTINGS).mask)  # same photo, same cut
