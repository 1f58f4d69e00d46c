"""Figures of a cutout, on shapes whose values are worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from p2i_ray.data.cutouts.cutter import Cut
from p2i_ray.data.cutouts.quality import check, measure
from p2i_ray.data.cutouts.settings import CutoutConfig
from p2i_ray.data.errors import ImageError
from p2i_ray.data.images import Pixels

LIMITS = CutoutConfig(max_border=0.5, max_holes=0.2, max_thin=0.4, max_disagreement=0.25)


def box(rows: slice, columns: slice) -> Pixels:
    mask = np.zeros((100, 200), np.uint8)
    mask[rows, columns] = 255
    return mask


def test_a_box_in_the_middle_has_no_doubt() -> None:
    found = measure(box(slice(20, 70), slice(50, 150)), "mask", LIMITS)
    assert found.source == "mask" and found.coverage == 0.25
    assert (found.border, found.holes) == (0, 0)
    assert (
        found.thin == pytest.approx(4 / 5000) and found.doubt == found.thin / 0.4
    )  # a disc leaves one pixel at each corner
    assert found.disagreement is None and found.confidence is None


def test_a_box_that_stands_on_the_border() -> None:
    found = measure(box(slice(50, 100), slice(0, 100)), "grabcut", LIMITS)
    assert found.border == pytest.approx((100 + 49) / 596)  # its pixels of 2 * 200 + 2 * 98 around the photo
    assert found.doubt == pytest.approx(found.border / 0.5) and found.thin < 0.001


def test_holes_are_what_the_product_encloses() -> None:
    ring = box(slice(20, 70), slice(50, 150))
    ring[30:50, 60:110] = 0  # a fifth of it
    assert measure(ring, "onnx", LIMITS).holes == pytest.approx(0.2)
    notch = box(slice(20, 70), slice(50, 150))
    notch[20:50, 60:110] = 0  # open to the outside
    assert measure(notch, "onnx", LIMITS).holes == 0
    frame = np.full((100, 200), 255, np.uint8)
    frame[10:90, 10:190] = 0  # the product touches all corners, and still encloses a hole
    assert measure(frame, "onnx", LIMITS).holes == pytest.approx(80 * 180 / 20_000)


def test_thin_parts_are_narrower_than_a_fiftieth() -> None:
    pole = box(slice(20, 80), slice(100, 102))
    assert measure(pole, "onnx", LIMITS).thin == 1
    lamp = box(slice(20, 50), slice(80, 120))  # 1,200 pixels, and 60 of a pole
    lamp[50:80, 100:102] = 255
    assert measure(lamp, "onnx", LIMITS).thin == pytest.approx(60 / 1260, abs=0.01)


def test_a_large_mask_is_measured_on_a_small_copy() -> None:
    large = box(slice(20, 70), slice(50, 150)).repeat(16, axis=0).repeat(16, axis=1)
    found = measure(large, "alpha", LIMITS)
    assert found.coverage == pytest.approx(0.25, abs=0.002) and found.doubt < 0.02


@pytest.mark.parametrize(
    ("mask", "disagreement", "says"),
    [
        (
            box(slice(20, 70), slice(50, 150)),
            0.41,
            "two cuts of the photo differ by 41%, .*max_disagreement=0.25 allows",
        ),
        (box(slice(0, 100), slice(0, 150)), 0.1, "the product touches 67% of the photo's border, .*max_border=0.5"),
        (box(slice(20, 80), slice(100, 102)), None, "100% of the product lies in thin parts, .*max_thin=0.4 allows"),
    ],
)
def test_poor_cutouts_are_set_aside_for_their_worst_figure(mask: Pixels, disagreement: float | None, says: str) -> None:
    found = measure(mask, "onnx", LIMITS, Cut(mask, disagreement))
    assert found.doubt > 1
    with pytest.raises(ImageError, match=f"^poor cutout: {says}"):
        check(found, LIMITS)
    check(found, CutoutConfig(max_border=1, max_holes=1, max_thin=1, max_disagreement=1))
