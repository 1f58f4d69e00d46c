"""Sizes of pictures by aspect ratio, with values worked out by hand, and which of them a picture has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from p2i_ray.config import ImageConfig
from p2i_ray.config.shapes import size_for


@pytest.mark.parametrize(
    ("ratio", "resolution", "size"),
    [
        ("1:1", 512, (512, 512)),
        ("1:1", 520, (520, 520)),  # the square is the resolution, whatever the step
        ("4:5", 512, (448, 576)),  # 457.9 x 572.4
        ("3:4", 1024, (896, 1152)),  # 886.8 x 1182.4
        ("16:9", 1024, (1344, 768)),  # 1365.3 x 768
        ("2:2", 64, (64, 64)),
    ],
)
def test_the_area_stays_and_sides_are_rounded(ratio: str, resolution: int, size: tuple[int, int]) -> None:
    assert size_for(ratio, resolution, 64) == size


@pytest.mark.parametrize(
    ("ratios", "line"),
    [
        (["4x5"], "'4x5' is no aspect ratio; write width:height, e.g. 4:5"),
        (["0:5"], "'0:5' is no aspect ratio"),
        (["5:1"], "aspect ratio 5:1 is beyond 4:1 and 1:4"),
        (["1:1", "9:10"], r"image.aspect_ratios=1:1,9:10 are 512x512, 512x512 at .* or lower image.size_step"),
        ([], "at least 1 item"),
    ],
)
def test_ratios_that_make_no_sizes(ratios: list[str], line: str) -> None:
    with pytest.raises(ValidationError, match=line):
        ImageConfig(aspect_ratios=tuple(ratios))


def test_the_nearest_size_and_the_one_that_a_picture_has() -> None:
    image = ImageConfig(aspect_ratios=("1:1", "4:5", "16:9"))
    assert [str(size) for size in image.nearest(300, 400)] == ["448x576", "512x512", "704x384"]
    assert image.longest == 704
    assert image.size_of(448, 576) == image.size_of(896, 1152) == (448, 576)
    assert image.size_of(400, 500) is None  # would be stretched by 3 %
    assert image.size_of(500, 501) is None and image.size_of(500, 500) == (512, 512)
    assert ImageConfig().size_of(448, 576) is None


@given(st.sampled_from(["4:5", "3:4", "16:9", "1:2"]), st.sampled_from([64, 512, 1024]), st.integers(1, 4))
def test_a_size_and_its_multiples_have_themselves(ratio: str, resolution: int, times: int) -> None:
    image = ImageConfig(resolution=resolution, aspect_ratios=("1:1", ratio), size_step=8)
    size = image.sizes[1]
    assert image.size_of(size.width * times, size.height * times) == size
