"""Where products lie in frames: pure numbers."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from p2i_ray.config.shapes import Size
from p2i_ray.serve.edge.errors import APIError
from p2i_ray.serve.images.placement import Box, Placement, nearest, placed

FRAMES = st.builds(Size, st.integers(64, 1536), st.integers(64, 1536))
SUBJECTS = st.builds(Size, st.integers(1, 4000), st.integers(1, 4000))
UNIT = st.floats(0, 1)


@given(subject=SUBJECTS, frame=FRAMES, share=st.floats(0.05, 0.95), x=UNIT, y=UNIT, margin=st.floats(0, 0.45))
def test_a_product_is_where_it_was_asked_for_or_refused(
    subject: Size, frame: Size, share: float, x: float, y: float, margin: float
) -> None:
    try:
        box = placed(subject, frame, Placement(True, share, x, y, margin))
    except APIError as error:
        assert error.param in ("product_x", "product_y") and len(error.message) < 220
        scale = share * min(frame.width / subject.width, frame.height / subject.height)
        across, down = subject.width * scale / frame.width, subject.height * scale / frame.height
        assert min(x, 1 - x) - across / 2 < margin or min(y, 1 - y) - down / 2 < margin
        return
    assert box.left >= 0 and box.right <= frame.width and box.top >= 0 and box.bottom <= frame.height
    assert (
        abs(box.left + box.width / 2 - x * frame.width) <= 1 and abs(box.top + box.height / 2 - y * frame.height) <= 1
    )
    longest = 0 if subject.width / frame.width > subject.height / frame.height else 1  # fills more of its frame's
    assert abs(box.size[longest] - share * frame[longest]) <= 0.5 or box.size[longest] == 1
    assert abs(box.width * subject.height / subject.width - box.height) <= 1 + subject.height / subject.width
    room = (
        min(box.left / frame.width, 1 - box.right / frame.width),
        min(box.top, frame.height - box.bottom) / frame.height,
    )
    assert room[0] >= margin - 1 / frame.width and room[1] >= margin - 1 / frame.height


@given(subject=SUBJECTS, frame=FRAMES, share=st.floats(0.05, 0.95), x=UNIT, y=UNIT, margin=st.floats(0.01, 0.3))
def test_what_a_refusal_advises_is_accepted(
    subject: Size, frame: Size, share: float, x: float, y: float, margin: float
) -> None:
    """Each piece of advice, followed along the axis that the line is about."""
    assume(share + 2 * margin < 0.99)
    asked = Placement(True, share, x, y, margin)
    try:
        placed(subject, frame, asked)
        return
    except APIError as error:
        field, line = str(error.param), error.message
    free = {"product_x": {"y": 0.5}, "product_y": {"x": 0.5}}[field]  # the other axis is no matter
    for pattern, name in (
        (rf"give {field} from ([\d.]+) to", field[-1]),
        (r"lower product_share to ([\d.]+)", "share"),
    ):
        if found := re.search(pattern, line):
            placed(subject, frame, Placement(**{**asked.__dict__, **free, name: float(found[1])}))
    if found := re.search(r"lower margin to ([\d.]+)", line):
        placed(subject, frame, Placement(**{**asked.__dict__, **free, "margin": float(found[1])}))
    assert "; " in line and not line.endswith("; ")


@given(picture=SUBJECTS, frame=FRAMES)
def test_a_whole_picture_touches_two_borders_and_lies_in_the_middle(picture: Size, frame: Size) -> None:
    box = placed(picture, frame, Placement())
    assert box.width == frame.width or box.height == frame.height
    assert box.left == (frame.width - box.width) // 2 and box.top == (frame.height - box.height) // 2
    assert box.left >= 0 and box.right <= frame.width and box.top >= 0 and box.bottom <= frame.height


@pytest.mark.parametrize(
    ("subject", "placement", "box"),
    [
        ((100, 50), Placement(True, 0.5), Box(128, 192, 256, 128)),  # the width is 0.5 of 512
        ((50, 100), Placement(True, 0.5), Box(192, 128, 128, 256)),  # the height is
        ((100, 100), Placement(True, 0.25, 0.25, 0.75), Box(64, 320, 128, 128)),
        ((100, 100), Placement(True, 0.5, 0.3, 0.5, 0.05), Box(26, 128, 256, 256)),  # 0.3 - 0.25 = 0.05: just so
    ],
)
def test_boxes_worked_out_by_hand(subject: tuple[int, int], placement: Placement, box: Box) -> None:
    assert placed(Size(*subject), Size(512, 512), placement) == box


@pytest.mark.parametrize(
    ("placement", "line"),
    [
        (
            Placement(True, 0.5, 0.2, 0.5),
            "the product would be 5.0% beyond the left border; give product_x from 0.25 to 0.75, or lower "
            "product_share to 0.4",
        ),
        (
            Placement(True, 0.5, 0.5, 0.72, 0.05),
            "the product would be 3.0% from the lower border, margin=0.05 is asked for; give product_y from 0.3 to "
            "0.7, or lower product_share to 0.46, or lower margin to 0.03",
        ),
        (Placement(True, 0.5, 1.0, 0.5), "25.0% beyond the right border; give product_x from 0.25 to 0.75"),
    ],
)
def test_a_refusal_says_what_to_change(placement: Placement, line: str) -> None:
    with pytest.raises(APIError) as refused:
        placed(Size(10, 10), Size(512, 512), placement)
    assert line in refused.value.message


def test_the_nearest_integer() -> None:
    assert [nearest(value) for value in (-0.5, 0.4, 0.5, 0.6, 1.5, 2.5)] == [-1, 0, 0, 1, 1, 2]
