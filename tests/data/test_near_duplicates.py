"""Near-duplicates of real photos, and what only looks like one."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from p2i_ray.data.near_duplicates import BYTES, fingerprint, pairs
from p2i_ray.data.numbers import ROWS_OF_A_PART
from tests.support.photos import PHOTOS, photo


def opened(name: str) -> Image.Image:
    return Image.open(photo(name)).convert("RGB")


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGB").resize((128, 128)))


@pytest.mark.parametrize("name", ["astronaut.png", "chelsea.png", "coffee.png"])
def test_the_same_photo_smaller_and_worse(name: str) -> None:
    image = opened(name)
    worse = io.BytesIO()
    image.save(worse, "JPEG", quality=30)
    width, height = image.size
    cropped = image.crop((width // 200, height // 200, width - width // 200, height - height // 200))
    copies = [image, Image.open(worse), image.resize((width // 3, height // 3)), cropped]
    found = pairs([fingerprint(pixels(copy)) for copy in copies]).tolist()
    assert {place for pair in found for place in pair} == {0, 1, 2, 3}


def test_other_photos_and_other_colours_are_others() -> None:
    cup = pixels(opened("coffee.png"))
    others = [pixels(opened(name)) for name, *_ in PHOTOS]
    blue = cup.copy()
    blue[40:90, 30:90, 0] //= 2  # the product in another colour
    assert not len(pairs([fingerprint(picture) for picture in [*others, blue, cup[:, ::-1]]]))


def test_a_cutout_counts_without_what_its_clear_pixels_hide() -> None:
    cup = pixels(opened("coffee.png"))
    alpha = np.zeros((128, 128, 1), np.uint8)
    alpha[30:100, 20:100] = 255
    hidden = np.concatenate([cup, alpha], axis=2)
    wiped = np.where(alpha > 0, hidden, 0).astype(np.uint8)
    assert fingerprint(hidden) == fingerprint(wiped) != fingerprint(cup) and len(fingerprint(cup)) == BYTES


def test_many_that_are_equal_are_connected_at_little_cost() -> None:
    one = fingerprint(pixels(opened("coffee.png")))
    found = pairs([one] * 3000)
    assert set(found.ravel().tolist()) == set(range(3000)) and len(found) < 3000 * 64
    assert {(place, place + 1) for place in range(2999)} <= set(map(tuple, found.tolist()))


@pytest.mark.parametrize("number", [0, 1])
def test_no_pair_of_fewer_than_two(number: int) -> None:
    assert pairs([bytes(BYTES)] * number).shape == (0, 2)


def test_pairs_are_found_among_rows_that_are_sorted_by_parts() -> None:
    count = 2 * ROWS_OF_A_PART + 9
    table = np.random.default_rng(0).integers(0, 256, (count, BYTES), np.uint8)
    first = np.arange(0, count // 2, 1000)
    table[count - 1 - first] = table[first]
    table[first, 3] ^= 1  # of the structure
    table[first[::2], 30] ^= 2  # of a colour
    assert pairs(table).tolist() == [[place, count - 1 - place] for place in first.tolist()]
