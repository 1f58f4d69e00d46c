"""Sizes by ratio, as WIDTHxHEIGHT and in a picture's shape: pure numbers."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.config import ImageConfig
from p2i_ray.config.serve import LimitsConfig
from p2i_ray.config.shapes import Size
from p2i_ray.serve.edge.errors import APIError
from p2i_ray.serve.images import sizes
from p2i_ray.serve.images.sizes import STRIDE, SizeLimits

LIMITS = SizeLimits.of(LimitsConfig(), ImageConfig())
LARGE = SizeLimits.of(LimitsConfig(), ImageConfig(resolution=1024))
RATIOS = st.builds(Fraction, st.integers(1, 300), st.integers(1, 300)).filter(lambda one: Fraction(1, 3) <= one <= 3)
RESOLUTIONS = st.integers(16, 160).map(lambda eighths: 8 * eighths)  # 128 to 1280


@pytest.mark.parametrize(
    ("ratio", "size", "large"),
    [
        ("1:1", "512x512", "1024x1024"),
        ("2:2", "512x512", "1024x1024"),
        ("4:5", "448x560", "928x1160"),  # 32 k x 40 k are exact
        ("3:4", "432x576", "888x1184"),
        ("4:3", "576x432", "1184x888"),
        ("16:9", "680x384", "1368x768"),
        ("1:3", "296x888", "512x1536"),  # 592 x 1776 would be too high
        ("3:1", "888x296", "1536x512"),
    ],
)
def test_the_size_of_a_ratio(ratio: str, size: str, large: str) -> None:
    assert str(sizes.painted_size(ratio, LIMITS)) == size
    assert str(sizes.painted_size(ratio, LARGE)) == large


@given(ratio=RATIOS, resolution=RESOLUTIONS)
def test_a_ratios_size_is_near_it_and_within_the_limits(ratio: Fraction, resolution: int) -> None:
    limits = SizeLimits.of(LimitsConfig(), ImageConfig(resolution=resolution))
    size = sizes.for_ratio(ratio, limits, "size")
    assert size.width % STRIDE == 0 == size.height % STRIDE
    assert max(size) <= 1536 and size.width * size.height <= max(1024 * 1536, resolution**2)
    # Rounding a width and a height moves the aspect by no more than half a step of each.
    assert abs(math.log(size.aspect / ratio)) <= 8 / min(size)
    area, wanted = size.width * size.height, resolution**2
    if wanted * max(ratio, 1 / ratio) < 1500**2:  # the longest side is not cut
        assert 0.8 <= area / wanted <= 1.25
    assert area <= 1.25 * wanted


@given(ratio=RATIOS, resolution=RESOLUTIONS)
def test_a_ratio_and_its_reverse_give_the_same_size_turned(ratio: Fraction, resolution: int) -> None:
    limits = SizeLimits.of(LimitsConfig(), ImageConfig(resolution=resolution))
    one, other = (sizes.for_ratio(way, limits, "size") for way in (ratio, 1 / ratio))
    assert one == (other.height, other.width)


@given(sent=st.builds(Size, st.integers(1, 9000), st.integers(1, 9000)), resolution=RESOLUTIONS)
def test_auto_follows_the_picture(sent: Size, resolution: int) -> None:
    limits = SizeLimits.of(LimitsConfig(), ImageConfig(resolution=resolution))
    size = sizes.for_picture(sent, limits)
    wanted = min(max(sent.aspect, 1 / 3), 3)
    assert abs(math.log(size.aspect / wanted)) <= 8 / min(size) and limits.hold(size)
    if sent.width == sent.height:
        assert size == (resolution, resolution)


@given(sent=st.builds(Size, st.integers(1, 9000), st.integers(1, 9000)))
def test_auto_takes_the_nearest_of_the_models_own_shapes(sent: Size) -> None:
    image = ImageConfig(aspect_ratios=("1:1", "4:5", "16:9"))
    size = sizes.for_picture(sent, SizeLimits.of(LimitsConfig(), image))
    assert size == image.nearest(*sent)[0] and size in image.sizes


def test_own_shapes_are_never_beyond_the_limits() -> None:
    image = ImageConfig(resolution=1024, aspect_ratios=("1:1", "3:1"))
    limits = SizeLimits.of(LimitsConfig(max_size=512, max_area=512 * 512), image)
    assert limits.largest == image.longest == 1792 and limits.most == 1024 * 1024


def test_a_small_models_sides_may_be_shorter() -> None:
    tiny = SizeLimits.of(LimitsConfig(max_size=256), ImageConfig(resolution=64))
    assert str(sizes.painted_size("16:9", tiny)) == "88x48" and str(sizes.painted_size("1:3", tiny)) == "40x120"
    narrow = SizeLimits.of(LimitsConfig(max_size=64), ImageConfig(resolution=64))
    with pytest.raises(APIError, match="size: no size of ratio 3:1 lies within 32 to 64 pixels a side; ask for one"):
        sizes.painted_size("3:1", narrow)


@pytest.mark.parametrize("text", ["", "4", "4:", ":5", "0:1", "1:0", "1:4", "4:1", "100:301", "4:5:6", "4/5", "4：5"])
def test_what_is_no_ratio(text: str) -> None:
    assert sizes.ratio_of(text) is None
    with pytest.raises(APIError, match="size must be auto, a ratio such as 4:5 from 1:3 to 3:1, or WIDTHxHEIGHT"):
        sizes.painted_size(text, LIMITS)


@given(canvas=st.builds(Size, st.integers(64, 2000), st.integers(64, 2000)), ratio=RATIOS)
def test_a_window_has_the_ratio_to_half_a_pixel_and_touches_the_canvas(canvas: Size, ratio: Fraction) -> None:
    size = sizes.window(canvas, ratio)
    assert 1 <= size.width <= canvas.width and 1 <= size.height <= canvas.height
    assert size.width == canvas.width or size.height == canvas.height
    assert abs(size.width - size.height * ratio) <= 0.5 or abs(size.height - size.width / ratio) <= 0.5


@given(output=st.builds(Size, st.integers(64, 1365), st.integers(64, 1365)), resolution=RESOLUTIONS)
def test_little_is_cut_off_for_a_file(output: Size, resolution: int) -> None:
    ratio = Fraction(*output)
    if not Fraction(1, 3) <= ratio <= 3:
        return
    canvas = sizes.for_ratio(ratio, SizeLimits.of(LimitsConfig(), ImageConfig(resolution=resolution)), "output_size")
    part = sizes.window(canvas, ratio)
    assert part.width * part.height >= (1 - 9 / min(canvas)) * canvas.width * canvas.height


def test_sizes_of_files() -> None:
    assert sizes.output_size("2000x2500", 1) == (2000, 2500) and sizes.output_size("2000x2000", 8) == (2000, 2000)
    for text, pictures, line in [
        ("2000", 1, "output_size must be WIDTHxHEIGHT, both from 64 to 4096"),
        ("4097x2000", 1, "both from 64 to 4096"),
        ("63x64", 1, "both from 64 to 4096"),
        ("64x256", 1, "output_size 64x256 is beyond 3:1"),
        ("2001x2000", 8, "8 pictures of 2001x2000 have more than 32000000 pixels; lower n or output_size"),
    ]:
        with pytest.raises(APIError, match=line):
            sizes.output_size(text, pictures)


@pytest.mark.parametrize(
    ("output", "ratio", "same"),
    [
        ((2000, 2500), Fraction(4, 5), True),
        ((2000, 2501), Fraction(4, 5), True),
        ((2000, 2504), Fraction(4, 5), False),
        ((1081, 608), Fraction(16, 9), True),
        ((1085, 608), Fraction(16, 9), False),
    ],
)
def test_the_same_shape_is_meant_to_a_pixel(output: tuple[int, int], ratio: Fraction, same: bool) -> None:
    assert sizes.same_shape(Size(*output), ratio) == same
