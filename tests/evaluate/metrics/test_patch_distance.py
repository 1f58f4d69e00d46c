"""The distance of patches to their nearest ones, worked out by hand and by loops."""

from __future__ import annotations

import numpy as np
import pytest

from p2i_ray.evaluate.metrics.patch_distance import patch_distance


def flat(level: int, side: int = 16) -> np.ndarray:
    return np.full((side, side, 3), level, np.uint8)


def no_product(side: int = 16) -> np.ndarray:
    return np.zeros((side, side), np.uint8)


def noise(seed: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def test_flat_colours_are_their_difference_apart() -> None:
    assert patch_distance(flat(100), no_product(), flat(130), no_product()) == pytest.approx(30)
    both = flat(130)
    both[:, 8:] = 90  # the nearest is taken
    assert patch_distance(flat(100), no_product(), both, no_product()) == pytest.approx(10)
    # and the mean over the picture's patches: half of them 100, half 130
    halves = flat(100)
    halves[8:] = 130
    assert patch_distance(halves, no_product(), flat(130), no_product()) == pytest.approx(15)


def test_what_was_pasted_is_at_no_distance_wherever_it_was_taken_from() -> None:
    reference = noise(0, side=40)
    assert patch_distance(reference[3:19, 21:37], no_product(), reference, no_product(40)) == 0
    assert patch_distance(noise(1), no_product(), reference, no_product(40)) > 50


def test_patches_with_a_product_are_left_out_on_both_sides() -> None:
    picture, mask = flat(100), no_product()
    picture[:8, :8], mask[0, 0] = 0, 255  # one patch of four
    assert patch_distance(picture, mask, flat(130), no_product()) == pytest.approx(30)
    reference, covered = flat(130), no_product()
    reference[:, 8:], covered[:, 8] = 100, 255  # the near side of the reference is behind its product
    assert patch_distance(flat(100), no_product(), reference, covered) == pytest.approx(30)


def test_without_a_background_patch_there_is_no_figure() -> None:
    everywhere = np.full((16, 16), 255, np.uint8)
    assert np.isnan(patch_distance(flat(1), everywhere, flat(1), no_product()))
    assert np.isnan(patch_distance(flat(1), no_product(), flat(1), everywhere))
    assert np.isnan(patch_distance(flat(1, side=4), no_product(4), flat(1), no_product()))


def test_as_loops_have_it() -> None:
    picture, reference, patch = noise(2, side=12), noise(3, side=9), 4
    nearest = []
    for y in range(0, 12, patch):
        for x in range(0, 12, patch):
            own = picture[y : y + patch, x : x + patch].astype(float)
            places = [(v, u) for v in range(9 - patch + 1) for u in range(9 - patch + 1)]
            others = [reference[v : v + patch, u : u + patch].astype(float) for v, u in places]
            nearest.append(min(np.sqrt(((own - other) ** 2).mean()) for other in others))
    found = patch_distance(picture, no_product(12), reference, no_product(9), patch=patch)
    assert found == pytest.approx(np.mean(nearest))
