"""The truth report on pictures whose faults are made, and known."""

from __future__ import annotations

import numpy as np
import pytest

from p2i_ray.config.truth import TruthConfig
from p2i_ray.data.images import Pixels, paste_product
from p2i_ray.evaluate.metrics.colour_difference import ciede2000, lab
from p2i_ray.provenance.marker import encode
from p2i_ray.serve.images.label import same_text
from p2i_ray.serve.images.truth import MOST, TruthReport, as_sent, of_file, report

LIMITS = TruthConfig()
RED, GREY = (200, 30, 40), (120, 120, 120)


def pasted(side: int = 64) -> tuple[Pixels, Pixels, Pixels]:
    """A picture with a red square in its middle half, the product, and its mask."""
    mask = np.zeros((side, side), np.uint8)
    mask[side // 4 : -side // 4, side // 4 : -side // 4] = 255
    product = np.full((side, side, 3), RED, np.uint8)
    return np.where(mask[..., None] > 0, product, np.uint8(GREY)).astype(np.uint8), product, mask


def test_a_pasted_product_is_faultless() -> None:
    found = report(*pasted())
    assert (found.unchanged, found.colour, found.expansion, found.label) == (1, 0, 0, None)
    across = float(ciede2000(lab(np.array(RED, np.uint8)), lab(np.array(GREY, np.uint8))))
    assert found.seam == pytest.approx(across) and found.faults(LIMITS) == []
    said = found.metadata(LIMITS)
    assert said["faultless"] is True and said["faults"] == [] and said["seam"] == round(across, 4)


def test_a_changed_product_is_a_fault() -> None:
    picture, product, mask = pasted()
    picture[16:18, 16:48] = GREY  # two of its 32 rows
    found = report(picture, product, mask)
    assert found.unchanged == 30 / 32 and found.faults(LIMITS) == ["changed product"]
    assert found.faults(TruthConfig(min_unchanged=0.9, max_colour=100)) == []
    shifted = np.where(mask[..., None] > 0, np.uint8((202, 32, 42)), picture).astype(np.uint8)  # each pixel by 2
    assert report(shifted, product, mask).unchanged == 1


def test_a_grown_product_is_a_fault() -> None:
    picture, product, mask = pasted()
    picture[24:40, 48:56] = RED  # a handle of an eighth of its area
    found = report(picture, product, mask)
    assert found.expansion == pytest.approx(0.125, abs=0.02) and found.faults(LIMITS) == ["grown product"]
    assert found.unchanged == 1


def test_what_a_format_loses_is_measured_on_the_file() -> None:
    generator = np.random.default_rng(0)
    picture, product, mask = pasted()
    product = generator.integers(0, 256, product.shape, np.uint8)
    picture = np.where(mask[..., None] > 0, product, picture).astype(np.uint8)
    painted = report(picture, product, mask)
    jpeg = of_file(painted, encode(picture, "jpeg", quality=60), product, mask)
    assert painted.unchanged == jpeg.unchanged == 1 and jpeg.file_unchanged is not None and jpeg.file_unchanged < 0.5
    assert jpeg.file_colour is not None and jpeg.file_colour > 1 and jpeg.faults(LIMITS) == painted.faults(LIMITS)
    assert {"file_unchanged", "file_colour"} <= jpeg.metadata(LIMITS).keys()
    lossless = of_file(painted, encode(picture, "webp", quality=100), product, mask)
    assert (lossless.file_unchanged, lossless.file_colour) == (1, 0)
    assert "file_unchanged" not in painted.metadata(LIMITS)


def test_colours_of_large_products_are_those_of_pixels_spread_over_them() -> None:
    """A shade from left to right: the mean of a part of the pixels is that of all."""
    picture, product, mask = pasted(512)
    assert (mask == 255).sum() > MOST
    shade = np.linspace(0, 20, 512).astype(np.uint8)[None, :, None]
    changed = np.where(mask[..., None] > 0, product - shade, picture).astype(np.uint8)
    inside = mask == 255
    whole = float(ciede2000(lab(changed[inside]), lab(product[inside])).mean())
    assert report(changed, product, mask).colour == pytest.approx(whole, rel=0.01)


def test_stripes_do_not_hide_between_the_pixels_whose_colours_are_compared() -> None:
    """A product of 400 columns and of 8 x 20,000 pixels: every eighth pixel would be of every eighth column."""
    product, mask = np.full((408, 400, 3), GREY, np.uint8), np.full((408, 400), 255, np.uint8)
    mask[:8] = 0
    assert (mask == 255).sum() == 8 * MOST
    for column in range(8):
        picture = product.copy()
        picture[:, column::8] = RED
        apart = float(ciede2000(lab(np.array(RED, np.uint8)), lab(np.array(GREY, np.uint8))))
        assert report(picture, product, mask).colour == pytest.approx(apart / 8, rel=0.1)


@pytest.mark.parametrize("alpha", [254, 200, 128])
def test_a_product_without_an_opaque_pixel_is_compared_as_far_as_it_is_seen(alpha: int) -> None:
    """Glass over grey: its pixels are alpha F + (1 - alpha) B, whatever B is; blue ones are not."""
    _, product, mask = pasted()
    mask = np.minimum(mask, alpha).astype(np.uint8)
    picture = paste_product(np.full_like(product, 120), product, mask)
    found = report(picture, product, mask)
    assert (found.unchanged, found.colour, found.faults(LIMITS)) == (1, 0, [])
    picture[mask > 0] = (0, 0, 255)
    found = report(picture, product, mask)
    assert found.unchanged == 0 and found.colour is not None and found.colour > 10
    assert found.faults(LIMITS) == ["changed product"]


def test_colours_that_a_translucent_pixel_can_show() -> None:
    """Of alpha 153, three fifths, and F = 100: from 60, over black, to 60 + 102, over white."""
    mask = np.array([[153, 153, 153, 255, 0]], np.uint8)
    product = np.full((1, 5, 3), 100, np.uint8)
    picture = np.array([[40, 61, 180, 90, 7]], np.uint8)[..., None].repeat(3, axis=2)
    assert as_sent(picture, product, mask)[0, :, 0].tolist() == [60, 61, 162, 100, 7]


def test_a_product_without_a_pixel_has_no_figures() -> None:
    picture, product, mask = pasted()
    found = report(picture, product, np.minimum(mask, 127).astype(np.uint8))
    assert found.unchanged is None and found.colour is None and found.metadata(LIMITS)["unchanged"] is None


def test_the_label_is_read_on_the_product_alone() -> None:
    picture, product, mask = pasted()
    seen: list[Pixels] = []

    def reader(shown: Pixels) -> str:
        seen.append(shown)
        return "ACME 500" if len(seen) == 1 else "ACMF S00"

    found = report(picture, product, mask, reader)
    assert found.label == ("ACME 500", "ACMF S00") and "changed label" in found.faults(LIMITS)
    for shown in seen:
        assert (shown[mask == 0] == 255).all() and (shown[mask == 255] == RED).all()
    assert found.metadata(LIMITS)["text_after"] == "ACMF S00"


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("", "", True),
        ("ACME 500", "acme500", True),
        ("Steel thermos bottle 500 ml", "Steel thermos bottIe 500 ml", True),  # one character of 23
        ("ACME", "ACNE", False),
        ("ACME", "", False),
    ],
)
def test_texts_are_the_same_but_for_a_tenth(before: str, after: str, same: bool) -> None:
    assert same_text(before, after) is same
    assert (TruthReport(1, 0, 0, 1, (before, after)).faults(LIMITS) == []) is same
