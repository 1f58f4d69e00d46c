"""Sizes of pictures by aspect ratio, with values worked out by hand, and which of them a picture has."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given as each
from hypothesis import strategies as st
from pydantic import ValidationError

from p2i_ray.config import Config, ImageConfig, load
from p2i_ray.config.shapes import size_for
from p2i_ray.errors import UserError


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
        (["3:4", "4:5"], r"image.aspect_ratios=3:4,4:5 are 448x576, 448x576 at .* or lower image.size_step"),
        (["9:10"], "9:10 would be 512x512 at image.resolution=512 and image.size_step=64; lower image.size_step"),
        ([], "at least 1 item"),
    ],
)
def test_ratios_that_make_no_sizes(ratios: list[str], line: str) -> None:
    with pytest.raises(ValidationError, match=line):
        ImageConfig(aspect_ratios=tuple(ratios))


@pytest.mark.parametrize(
    ("ratio", "step", "size"), [("16:9", 64, "64x64"), ("4:1", 128, "128x128"), ("3:1", 16, "112x32")]
)
def test_a_step_that_makes_another_shape_of_it(ratio: str, step: int, size: str) -> None:
    with pytest.raises(ValueError, match=f"aspect ratio {ratio} would be {size} at"):
        size_for(ratio, 64, step)


@pytest.mark.parametrize("given", ["[1:1, 4:5]", '["1:1","4:5"]', "[1:1,4:5]"])
def test_ratios_need_no_quotes(given: str, tmp_path: Path) -> None:
    """YAML 1.1 reads 4:5 as 245."""
    line = load(Config, "mini", [f"image.aspect_ratios={given}", "image.size_step=8"])
    file = tmp_path / "mine.yaml"
    file.write_text(f"extends: mini\nimage:\n  size_step: 8\n  aspect_ratios: {given}\n", "utf-8")
    assert line.image.sizes == load(Config, str(file)).image.sizes == ((64, 64), (56, 72))


def test_one_ratio_is_still_a_list() -> None:
    with pytest.raises(UserError, match=r"image.aspect_ratios='4:5': it is a list; write \[4:5\]"):
        load(Config, "mini", ["image.aspect_ratios=4:5"])


def test_the_nearest_size_and_the_one_that_a_picture_has() -> None:
    image = ImageConfig(aspect_ratios=("1:1", "4:5", "16:9"))
    assert [str(size) for size in image.nearest(300, 400)] == ["448x576", "512x512", "704x384"]
    assert image.longest == 704
    assert image.size_of(448, 576) == image.size_of(896, 1152) == (448, 576)
    assert image.size_of(400, 500) is None  # would be stretched by 3 %
    assert image.size_of(500, 501) is None and image.size_of(500, 500) == (512, 512)
    assert ImageConfig().size_of(448, 576) is None


@each(st.sampled_from(["4:5", "3:4", "16:9", "1:2"]), st.sampled_from([64, 512, 1024]), st.integers(1, 4))
def test_a_size_and_its_multiples_have_themselves(ratio: str, resolution: int, times: int) -> None:
    image = ImageConfig(resolution=resolution, aspect_ratios=("1:1", ratio), size_step=8)
    size = image.sizes[1]
    assert image.size_of(size.width * times, size.height * times) == size
