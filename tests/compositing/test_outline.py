from __future__ import annotations

import numpy as np

from p2i_ray.compositing.outline import rim, ring, size_of, whole


def square(side: int = 100, part: int = 40) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    first = (side - part) // 2
    mask[first : first + part, first : first + part] = 255
    return mask


def test_size_is_the_root_of_the_area() -> None:
    assert size_of(square()) == 40


def test_the_ring_lies_outside_and_near() -> None:
    mask = square()
    found = ring(mask)  # 0.15 of 40: six pixels
    assert not (found & (mask > 0)).any()
    row = np.flatnonzero(found[50])
    assert row.tolist() == [*range(24, 30), *range(70, 76)]


def test_the_rim_is_full_at_the_outline_and_falls_smoothly() -> None:
    weights = rim(square(), 0.25)  # ten pixels
    profile = weights[50, 30:50].astype(int)
    assert profile[0] == 255 and abs(profile[5] - 127.5) <= 1 and (profile[10:] == 0).all()
    assert (np.diff(profile[:11]) < 0).all() and not weights[:30].any()


def test_soft_pixels_count_by_their_share() -> None:
    mask = square()
    mask[29, 30:70] = 64
    assert rim(mask, 0.25)[29, 50] == 64 and whole(mask)[29, 50] == 64 and whole(mask)[50, 50] == 255
