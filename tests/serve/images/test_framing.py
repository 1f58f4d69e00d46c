"""Canvases and the frames that are cut from them: pure numbers."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.config import ImageConfig
from p2i_ray.config.serve import LimitsConfig
from p2i_ray.config.shapes import Size
from p2i_ray.serve.edge.errors import APIError
from p2i_ray.serve.images.framing import cropped, one_frame
from p2i_ray.serve.images.placement import Box, Placement
from p2i_ray.serve.images.sizes import SizeLimits, for_ratio

LIMITS = SizeLimits.of(LimitsConfig(), ImageConfig())
THREE = {"1:1": Fraction(1), "4:5": Fraction(4, 5), "16:9": Fraction(16, 9)}
CROPS = st.dictionaries(
    st.sampled_from(["1:1", "4:5", "3:4", "16:9", "9:16", "2:3", "3:2", "1:2"]), st.none(), min_size=1, max_size=6
).map(lambda found: {text: Fraction(*map(int, text.split(":"))) for text in found})


def test_three_crops_on_one_canvas() -> None:
    shape = cropped(THREE, LIMITS, Placement())
    assert shape.canvas == (680, 560)  # as wide as 680x384, as high as 448x560
    assert [(frame.crop, frame.output, frame.box) for frame in shape.frames] == [
        ("1:1", (512, 512), Box(84, 24, 512, 512)),
        ("4:5", (448, 560), Box(116, 0, 448, 560)),
        ("16:9", (680, 384), Box(0, 88, 680, 384)),
    ]
    assert shape.common == Box(116, 88, 448, 384)
    assert shape.place(Size(100, 100)) == Box(148, 88, 384, 384)  # the whole picture, in each of them


@given(
    crops=CROPS,
    subject=st.builds(Size, st.integers(1, 3000), st.integers(1, 3000)),
    share=st.floats(0.05, 0.95),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
    margin=st.floats(0, 0.2),
)
def test_a_product_is_in_every_crop_at_the_same_place(
    crops: dict[str, Fraction], subject: Size, share: float, x: float, y: float, margin: float
) -> None:
    large = SizeLimits.of(LimitsConfig(max_size=4096, max_area=1 << 24), ImageConfig())
    shape = cropped(crops, large, Placement(True, share, x, y, margin))
    for frame, ratio in zip(shape.frames, crops.values(), strict=True):
        assert frame.output == frame.box.size == for_ratio(ratio, large, "crops")
        assert frame.box.left >= 0 and frame.box.right <= shape.canvas.width
        assert frame.box.top >= 0 and frame.box.bottom <= shape.canvas.height
    assert shape.canvas.width % 8 == 0 == shape.canvas.height % 8
    assert shape.common.size == tuple(map(min, zip(*(frame.output for frame in shape.frames), strict=True)))
    try:
        box = shape.place(subject)
    except APIError:
        return
    for frame in shape.frames:
        left, right = box.left - frame.box.left, frame.box.right - box.right
        top, bottom = box.top - frame.box.top, frame.box.bottom - box.bottom
        assert min(left, right, top, bottom) >= 0
        assert min(left, right) >= margin * frame.box.width - 2 and min(top, bottom) >= margin * frame.box.height - 2
        assert abs(left + box.width / 2 - x * frame.box.width) <= 2  # a pixel of the box's, one of the frame's
        assert abs(top + box.height / 2 - y * frame.box.height) <= 2


def test_a_canvas_beyond_the_limits_is_refused() -> None:
    two = {"3:1": Fraction(3), "1:3": Fraction(1, 3)}
    assert cropped(two, LIMITS, Placement()).canvas == (888, 888)
    large = SizeLimits.of(LimitsConfig(), ImageConfig(resolution=1024))
    line = "crops 3:1, 1:3 of one scene need a canvas of 1320x1320 pixels or more; at most 1536 a side and 1572864 in"
    with pytest.raises(APIError, match=line):
        cropped(two, large, Placement())
    assert cropped({**THREE, "3:4": Fraction(3, 4)}, LIMITS, Placement()).canvas == (680, 576)
    three = cropped(THREE, large, Placement())  # 1368x1160 of resolution 1024 would be a little too large
    assert three.canvas.width * three.canvas.height <= 1024 * 1536
    assert three.canvas == (1352, 1120) and three.frames[0].output == (1016, 1016)


def test_a_frame_is_the_canvas_or_the_largest_part_with_the_files_ratio() -> None:
    whole = one_frame(Size(680, 384), Placement())
    assert whole.frames[0].box == (0, 0, 680, 384) == whole.common and whole.frames[0].output == (680, 384)
    part = one_frame(Size(680, 384), Placement(), Size(1600, 900))
    assert part.frames[0].box == (0, 1, 680, 382) and part.frames[0].output == (1600, 900)  # 680 * 9 / 16 = 382.5
    assert part.place(Size(10, 10)) == (149, 1, 382, 382)
