"""Product truth on pictures small enough to count by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from p2i_ray.data.images import Pixels
from p2i_ray.evaluate.metrics import product_truth
from p2i_ray.evaluate.metrics.batch import MeasuredImages
from p2i_ray.evaluate.metrics.colour_difference import ciede2000, lab

RED, BLUE = (200, 0, 0), (0, 0, 200)


def row(inside: tuple[int, ...] = RED, outside: tuple[int, ...] = BLUE) -> MeasuredImages:
    """A red product of 4 x 4 in a picture of 10 x 10."""
    mask = np.zeros((10, 10), np.uint8)
    mask[3:7, 3:7] = 255
    picture = np.where(mask[..., None] > 0, inside, outside).astype(np.uint8)
    cutout = np.full((10, 10, 3), RED, np.uint8)
    return MeasuredImages(picture=picture, product=cutout, background=picture, cutout=cutout, mask=mask)


def test_a_pasted_product_is_unchanged() -> None:
    assert product_truth.unchanged(row()) == 1
    assert product_truth.colour(row()) == 0


def test_changed_pixels_are_counted() -> None:
    changed = row()
    changed.picture[3, 3:7] = (203, 0, 0)  # by 3 of 255: four of sixteen
    changed.picture[4, 3:7] = (202, 2, 2)  # within the tolerance
    changed.picture[0, 0] = 255  # outside
    assert product_truth.unchanged(changed) == 12 / 16
    apart = [float(ciede2000(lab(np.array(c, np.uint8)), lab(np.array(RED, np.uint8)))) for c in (
        (203, 0, 0), (202, 2, 2),
    )]  # fmt: skip
    assert product_truth.colour(changed) == pytest.approx(sum(apart) * 4 / 16)


def test_the_soft_edge_does_not_count() -> None:
    soft = row()
    soft.mask[3] = np.minimum(soft.mask[3], 254)
    soft.picture[3] = 0
    assert product_truth.unchanged(soft) == 1
    nothing = soft._replace(mask=np.minimum(soft.mask, 254))
    assert math.isnan(product_truth.unchanged(nothing)) and math.isnan(product_truth.colour(nothing))


def test_the_seam() -> None:
    """Sixteen pairs of red and blue; where one side of the outline is red on both sides, a quarter of them has 0."""
    red, blue = (lab(np.array(c, np.uint8)) for c in (RED, BLUE))
    assert product_truth.seam(row()) == pytest.approx(float(ciede2000(red, blue)))
    open_side = row()
    open_side.picture[2, 3:7] = RED
    assert product_truth.seam(open_side) == pytest.approx(0.75 * float(ciede2000(red, blue)))
    assert product_truth.seam(row(outside=RED)) == 0


def test_expansion() -> None:
    """A product of 4 x 4 continued by three columns beside it: one is the margin, two of four pixels count."""

    def found(columns: int) -> Pixels:
        mask = np.zeros((10, 10), np.uint8)
        mask[3:7, 3 : 7 + columns] = 255
        return mask

    mask = row().mask
    assert product_truth.expansion(found(0), mask) == product_truth.expansion(found(1), mask) == 0
    assert product_truth.expansion(found(3), mask) == 8 / 16
    assert product_truth.expansion(np.zeros_like(mask), mask) == 0
