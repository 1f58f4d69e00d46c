"""A canvas and the frames that are cut from it: each becomes a file. Pure functions of numbers.

One frame is the usual case: all of the canvas, or the largest part with the file's ratio. Several frames are crops of
one scene: each holds the product at the same scale, and at the same place as a fraction of its sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from p2i_ray.config.shapes import Size
from p2i_ray.serve.edge.errors import bad_request
from p2i_ray.serve.images.placement import Box, Placement, nearest, placed
from p2i_ray.serve.images.sizes import STRIDE, SizeLimits, for_ratio, window

LOWEST = 0.75  # resolution of crops, fraction of the model's


@dataclass(frozen=True)
class Frame:
    """A part of the canvas that becomes a file.

    Attributes:
        box: in the canvas.
        output: the file's size; another one than the box's: it is scaled.
        crop: the ratio that the client asked for, as it wrote it.
    """

    box: Box
    output: Size
    crop: str | None = None


@dataclass(frozen=True)
class Shape:
    """The geometry of a request's pictures.

    Attributes:
        canvas: what is painted, pixels.
        frames: the files, in the order of the request.
        placement: of the product.
    """

    canvas: Size
    frames: tuple[Frame, ...]
    placement: Placement

    @property
    def common(self) -> Box:
        """The part of the canvas that all frames show."""
        boxes = [frame.box for frame in self.frames]
        left, top = max(box.left for box in boxes), max(box.top for box in boxes)
        right, bottom = min(box.right for box in boxes), min(box.bottom for box in boxes)
        return Box(left, top, right - left, bottom - top)

    def place(self, subject: Size) -> Box:
        """The box of a subject in the canvas: placed in the part that all frames show.

        Raises:
            APIError: it would leave a frame, or come nearer to its border than the margin.
        """
        common = self.common
        box = placed(subject, common.size, self.placement)
        return Box(common.left + box.left, common.top + box.top, *box.size)


def one_frame(canvas: Size, placement: Placement, output: Size | None = None) -> Shape:
    """A canvas with one frame in its middle.

    Args:
        canvas: what is painted.
        placement: of the product.
        output: the file's size; none: the canvas as it is.
    """
    size = canvas if output is None else window(canvas, Fraction(*output))
    box = Box((canvas.width - size.width) // 2, (canvas.height - size.height) // 2, *size)
    return Shape(canvas, (Frame(box, output or canvas),), placement)


def cropped(crops: dict[str, Fraction], limits: SizeLimits, placement: Placement) -> Shape:
    """A canvas with a frame of each ratio, all at one scale.

    The canvas is as wide as the widest and as high as the highest. Each has the size that its ratio has alone; where
    the canvas would be beyond the limits, that of the next lower resolution with which it is not.

    Raises:
        APIError: the resolution would be lower than LOWEST of the model's.
    """
    for resolution in range(limits.resolution, math.ceil(LOWEST * limits.resolution) - 1, -STRIDE):
        at = replace(limits, resolution=resolution)
        sizes = [for_ratio(ratio, at, "crops") for ratio in crops.values()]
        canvas = Size(max(size.width for size in sizes), max(size.height for size in sizes))
        if limits.hold(canvas):
            break
    else:
        raise bad_request(
            f"crops {', '.join(crops)} of one scene need a canvas of {canvas} pixels or more; at most {limits.largest} "
            f"a side and {limits.most} in all are painted; leave out the widest or the tallest",
            "crops",
        )
    frames = tuple(Frame(_at(size, canvas, placement), size, text) for text, size in zip(crops, sizes, strict=True))
    return Shape(canvas, frames, placement)


def _at(size: Size, canvas: Size, placement: Placement) -> Box:
    """The box of a frame, in which the product's place is the same fraction as in the canvas."""
    left = nearest(placement.x * (canvas.width - size.width))
    return Box(left, nearest(placement.y * (canvas.height - size.height)), *size)
