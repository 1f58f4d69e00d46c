"""Place the product. Pure functions of numbers: pixels, and fractions of a frame's sides.

What is placed is the whole picture that was sent, or the product alone: the bounding box of its mask.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from p2i_ray.config.shapes import Size
from p2i_ray.serve.edge.errors import bad_request

MIN_SHARE, MAX_SHARE = 0.05, 0.95
SHARE = 0.7  # where a product is placed and no share is given
MAX_MARGIN = 0.45
_ROUNDING = 1e-9  # of sums of fractions


class Box(NamedTuple):
    """A rectangle of pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column behind it."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The first row below it."""
        return self.top + self.height

    @property
    def size(self) -> Size:
        """Its sides."""
        return Size(self.width, self.height)


@dataclass(frozen=True)
class Placement:
    """A product's size and place in a frame.

    Attributes:
        product: the product's bounding box is placed; false: the whole picture, which the other defaults are for.
        share: of the frame's width that its width takes, or of the frame's height that its height takes, whichever is
            larger.
        x: its middle, fraction of the frame's width from the left.
        y: its middle, fraction of the frame's height from the top.
        margin: the least distance to every border: left and right of the frame's width, above and below of its height.
    """

    product: bool = False
    share: float = 1.0
    x: float = 0.5
    y: float = 0.5
    margin: float = 0.0


def placed(subject: Size, frame: Size, placement: Placement) -> Box:
    """The box of a subject in a frame, its aspect kept: sizes and middle to within a pixel, never outside.

    Raises:
        APIError: it would be nearer to a border than the margin, or beyond it.
    """
    scale = placement.share * min(frame.width / subject.width, frame.height / subject.height)
    size = Size(
        min(frame.width, max(1, round(subject.width * scale))),
        min(frame.height, max(1, round(subject.height * scale))),
    )
    if placement.product:
        _check("x", subject.width * scale / frame.width, placement.x, placement)
        _check("y", subject.height * scale / frame.height, placement.y, placement)
    left = nearest(placement.x * frame.width - size.width / 2)
    top = nearest(placement.y * frame.height - size.height / 2)
    return Box(  # rounding may have made it leave the frame by a pixel
        min(max(left, 0), frame.width - size.width), min(max(top, 0), frame.height - size.height), *size
    )


def nearest(value: float) -> int:
    """The nearest integer; of two the lower, so that what moves with a value never moves unequally."""
    return math.ceil(value - 0.5)


def _check(axis: str, length: float, middle: float, placement: Placement) -> None:
    """Refuse what comes too near to a border.

    Args:
        axis: x or y.
        length: of the product along it, fraction of the frame's side.
        middle: of the product along it, as a fraction.
        placement: of the request.
    """
    margin = placement.margin
    before, behind = middle - length / 2, 1 - middle - length / 2
    if min(before, behind) >= margin - _ROUNDING:
        return
    border = {"x": ("left", "right"), "y": ("upper", "lower")}[axis][0 if before < behind else 1]
    found = min(before, behind)
    where = f"{-found:.1%} beyond the {border} border" if found < 0 else f"{found:.1%} from the {border} border"
    room = 2 * (min(middle, 1 - middle) - margin)
    advice = []
    if length + 2 * margin <= 1 + _ROUNDING:
        low, high = margin + length / 2, 1 - margin - length / 2
        advice.append(f"give product_{axis} from {_up(low)} to {down(high)}")
    if (share := placement.share * room / length) >= MIN_SHARE:
        advice.append(f"lower product_share to {down(share)}")
    if margin and found >= 0:
        advice.append(f"lower margin to {down(found)}")
    asked = f", margin={margin:g} is asked for" if margin else ""
    raise bad_request(f"the product would be {where}{asked}; {', or '.join(advice)}", f"product_{axis}")


def _up(value: float) -> str:
    return f"{math.ceil(value * 1000 - 1e-6) / 1000:g}"


def down(value: float) -> str:
    """Three digits, never more than the value."""
    return f"{math.floor(value * 1000 + 1e-6) / 1000:g}"
