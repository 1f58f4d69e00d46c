"""Each rule by its measure, worked out by hand, and the reason that it gives."""

from __future__ import annotations

import numpy as np
import pytest

from p2i_ray.config import ImageConfig
from p2i_ray.data.cleaning.rules import Rules, variation_of
from p2i_ray.data.cleaning.settings import CleaningConfig
from p2i_ray.data.images import ImageError, Pixels, encode_png

IMAGE = ImageConfig(resolution=32)
MASK = np.zeros((40, 40), np.uint8)
MASK[10:30, 10:30] = 255  # 400 of 1,600 pixels


def left_half(picture: Pixels) -> Pixels:
    cover = np.zeros(picture.shape[:2], np.uint8)
    cover[:, :20] = 255  # 800 pixels, of which 200 are the product's: half of the background
    return cover


def striped(levels: int) -> Pixels:
    picture = np.full((40, 40, 3), 100, np.uint8)
    picture[::2] = 100 + 2 * levels  # standard deviation: `levels`
    picture[MASK >= 128] = 255  # the product doesn't count
    return picture


def test_nothing_is_set_aside_unless_it_is_asked_for() -> None:
    rules = Rules(CleaningConfig(), left_half, left_half)
    rules.check_photo(encode_png(np.zeros((1, 1, 3), np.uint8)), IMAGE)
    rules.check_scene(np.zeros((40, 40, 3), np.uint8), MASK)


def test_small_photos_are_told_by_their_header() -> None:
    rules = Rules(CleaningConfig(min_side=40))
    rules.check_photo(encode_png(np.zeros((40, 90, 3), np.uint8)), IMAGE)
    with pytest.raises(ImageError, match=r"too small: 90x39 pixels; ingest\.cleaning\.min_side=40"):
        rules.check_photo(encode_png(np.zeros((39, 90, 3), np.uint8)), IMAGE)


@pytest.mark.parametrize("levels", [0, 4, 30])
def test_variation_is_that_of_the_backgrounds_brightness(levels: int) -> None:
    assert variation_of(striped(levels), MASK < 128) == pytest.approx(levels)


def test_plain_backgrounds() -> None:
    rules = Rules(CleaningConfig(min_variation=5))
    rules.check_scene(striped(5), MASK)
    with pytest.raises(ImageError, match=r"too plain: .* varies by 4\.0 levels; ingest\.cleaning\.min_variation=5"):
        rules.check_scene(striped(4), MASK)
    rules.check_scene(striped(0), np.full((40, 40), 255, np.uint8))  # no background at all


@pytest.mark.parametrize("what", ["text", "people"])
def test_what_covers_the_background(what: str) -> None:
    settings = CleaningConfig(**{f"max_{what}": 0.5})
    Rules(settings, left_half, left_half).check_scene(striped(30), MASK)
    with pytest.raises(
        ImageError, match=rf"{what} in the background: on 50\.0% of it; ingest\.cleaning\.max_{what}=0\.4"
    ):
        Rules(CleaningConfig(**{f"max_{what}": 0.4}), left_half, left_half).check_scene(striped(30), MASK)
    on_the_product = np.where(MASK[..., None] >= 128, np.uint8(1), np.uint8(0))
    Rules(CleaningConfig(**{f"max_{what}": 0.0}), lambda _: on_the_product[..., 0] * 255).check_scene(striped(30), MASK)
