"""The shapes of pictures: the paper's square, or several sizes of about the same area, one for each aspect ratio."""

from __future__ import annotations

import re
from typing import NamedTuple

SQUARE = "1:1"
WIDEST = 4  # of an aspect ratio
ROUNDED = 0.15  # largest difference, as a fraction, that rounding to steps may make to an aspect ratio
ALIKE = 0.01  # two sizes whose aspect ratios differ by this fraction, which is rounding, have one shape
_RATIO = re.compile(r"([1-9]\d{0,3}):([1-9]\d{0,3})")


class Size(NamedTuple):
    """A picture's size, pixels."""

    width: int
    height: int

    @property
    def aspect(self) -> float:
        """Width by height."""
        return self.width / self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def size_for(ratio: str, resolution: int, step: int) -> Size:
    """The size of an aspect ratio whose area is about that of a square.

    Args:
        ratio: width:height.
        resolution: side of the square, pixels.
        step: sides that are not the square's are multiples of it, pixels.

    Raises:
        ValueError: it is no ratio, too wide or too tall a one, or the step is too large for it.
    """
    found = _RATIO.fullmatch(ratio)
    if not found:
        raise ValueError(f"{ratio!r} is no aspect ratio; write width:height, e.g. 4:5")
    width, height = map(int, found.groups())
    if width == height:
        return Size(resolution, resolution)
    if not 1 / WIDEST <= width / height <= WIDEST:
        raise ValueError(f"aspect ratio {ratio} is beyond {WIDEST}:1 and 1:{WIDEST}")
    root = (width / height) ** 0.5
    size = Size(_rounded(resolution * root, step), _rounded(resolution / root, step))
    if abs(size.aspect * height / width - 1) > ROUNDED or size.width == size.height:
        raise ValueError(
            f"aspect ratio {ratio} would be {size} at image.resolution={resolution} and image.size_step={step}; lower "
            "image.size_step"
        )
    return size


def _rounded(length: float, step: int) -> int:
    return max(step, round(length / step) * step)
