"""Sizes of what is painted and of files: by an aspect ratio, as WIDTHxHEIGHT, or in the shape of a picture.

Pure functions of numbers. Errors are the client's (APIError): one line that names the field.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from p2i_ray.config import ImageConfig
from p2i_ray.config.serve import LimitsConfig
from p2i_ray.config.shapes import ROUNDED, Size
from p2i_ray.serve.edge.errors import bad_request

STRIDE = 8  # the VAE halves a side three times
MIN_SIDE = 64  # pixels
WIDEST = 3  # of an aspect ratio that a request names
ASPECT_WEIGHT = 10  # an aspect that is 1 % off counts as much as an area that is 10 % off
MAX_OUTPUT_SIDE = 4_096  # pixels of a file that is scaled
MAX_OUTPUT_AREA = 32_000_000  # pixels of all scaled files of an answer
_RATIO = re.compile(r"([1-9]\d{0,3}):([1-9]\d{0,3})")
_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")


@dataclass(frozen=True)
class SizeLimits:
    """The sizes that can be painted.

    Attributes:
        resolution: side of the square of about as many pixels as a picture has whose ratio alone is given.
        smallest: shortest side of WIDTHxHEIGHT, pixels.
        largest: longest side, pixels.
        most: pixels of a picture.
        own: the sizes that the model was trained on.
    """

    resolution: int
    smallest: int
    largest: int
    most: int
    own: tuple[Size, ...]

    @classmethod
    def of(cls, limits: LimitsConfig, image: ImageConfig) -> SizeLimits:
        """The limits of a server; a size that the model was trained on is never beyond them."""
        return cls(
            resolution=image.resolution,
            smallest=min(MIN_SIDE, image.resolution),
            largest=max(limits.max_size, image.longest),
            most=max(limits.max_area, *(size.width * size.height for size in image.sizes)),
            own=image.sizes,
        )

    @property
    def shortest(self) -> int:
        """The shortest side of a picture whose ratio alone is given, pixels: of a small model below `smallest`."""
        return max(STRIDE, min(MIN_SIDE, self.resolution // 2 // STRIDE * STRIDE))

    def hold(self, size: Size) -> bool:
        """Whether a size, whose sides are multiples of STRIDE, may be painted."""
        return max(size) <= self.largest and size.width * size.height <= self.most


def ratio_of(text: str) -> Fraction | None:
    """Width by height of a text such as 4:5; none: it is no ratio, or beyond WIDEST."""
    found = _RATIO.fullmatch(text)
    ratio = Fraction(*map(int, found.groups())) if found else Fraction(0)
    return ratio if Fraction(1, WIDEST) <= ratio <= WIDEST else None


def size_of(text: str) -> Size | None:
    """The size of a text such as 1024x1536; none: it is none."""
    found = _SIZE.fullmatch(text)
    return Size(*map(int, found.groups())) if found else None


def painted_size(text: str, limits: SizeLimits) -> Size:
    """The size of a request's `size` other than auto.

    Raises:
        APIError: it is neither a ratio nor a size, or beyond the limits.
    """
    ratio, size = ratio_of(text), size_of(text)
    if ratio is not None:
        return for_ratio(ratio, limits, "size")
    if size is None or any(side % STRIDE or not limits.smallest <= side <= limits.largest for side in size):
        allowed = f"both multiples of {STRIDE} from {limits.smallest} to {limits.largest}"
        raise bad_request(
            f"size must be auto, a ratio such as 4:5 from 1:{WIDEST} to {WIDEST}:1, or WIDTHxHEIGHT, {allowed}", "size"
        )
    if not limits.hold(size):
        raise bad_request(f"size {text} has too many pixels; at most {limits.most}", "size")
    return size


@functools.lru_cache(maxsize=1024)  # a job may have a thousand items
def for_ratio(ratio: Fraction, limits: SizeLimits, field: str) -> Size:
    """The size of a ratio with about as many pixels as the square of `resolution`: the nearest within the limits.

    Of the sizes whose sides are multiples of STRIDE it is the one with the lowest sum of its area's distance and
    ASPECT_WEIGHT times its aspect's, both as logarithms of quotients.

    Raises:
        APIError: all sizes within the limits have quite another shape.
    """
    if ratio < 1:  # the size of the reverse, turned
        height, width = for_ratio(1 / ratio, limits, field)
        return Size(width, height)
    aspect, area = float(ratio), limits.resolution**2

    def distance(size: Size) -> float:
        return ASPECT_WEIGHT * _apart(size.aspect, aspect) + _apart(size.width * size.height, area)

    nearest = min(_sizes(aspect, limits), key=distance, default=None)
    if nearest is None or _apart(nearest.aspect, aspect) > ROUNDED:
        text = f"{ratio.numerator}:{ratio.denominator}"
        raise bad_request(
            f"{field}: no size of ratio {text} lies within {limits.shortest} to {limits.largest} pixels a side; ask "
            "for one nearer to 1:1",
            field,
        )
    return nearest


def for_picture(sent: Size, limits: SizeLimits) -> Size:
    """The size of size=auto for a picture.

    It is the nearest of the model's own shapes where there are several, else the size of the picture's ratio, or of
    the nearest ratio from 1:WIDEST to WIDEST:1.
    """
    if len(limits.own) > 1:
        return min(limits.own, key=lambda size: _apart(size.aspect, sent.aspect))
    ratio = min(max(Fraction(*sent), Fraction(1, WIDEST)), Fraction(WIDEST))
    return for_ratio(ratio, limits, "size")


def output_size(text: str, pictures: int) -> Size:
    """The size of a scaled file.

    Args:
        text: a request's `output_size`.
        pictures: of the answer.

    Raises:
        APIError: it is no size, or beyond the limits.
    """
    size = size_of(text)
    if size is None or not MIN_SIDE <= min(size) <= max(size) <= MAX_OUTPUT_SIDE:
        raise bad_request(f"output_size must be WIDTHxHEIGHT, both from {MIN_SIDE} to {MAX_OUTPUT_SIDE}", "output_size")
    if not Fraction(1, WIDEST) <= Fraction(*size) <= WIDEST:
        raise bad_request(
            f"output_size {size} is beyond {WIDEST}:1; a ratio from 1:{WIDEST} to {WIDEST}:1 is painted", "output_size"
        )
    if pictures * size.width * size.height > MAX_OUTPUT_AREA:
        raise bad_request(
            f"{pictures} pictures of {size} have more than {MAX_OUTPUT_AREA} pixels; lower n or output_size",
            "output_size",
        )
    return size


def same_shape(output: Size, ratio: Fraction) -> bool:
    """Whether a file has a ratio to within one of its pixels."""
    return abs(output.width - output.height * ratio) <= 1 or abs(output.height - output.width / ratio) <= 1


def window(canvas: Size, ratio: Fraction) -> Size:
    """The largest part of a canvas with a ratio, to half a pixel."""
    width, height = canvas
    if Fraction(width, height) > ratio:
        return Size(min(width, max(1, round(height * ratio))), height)
    return Size(width, min(height, max(1, round(width / ratio))))


def _sizes(aspect: float, limits: SizeLimits) -> Iterator[Size]:
    """For each width the heights on both sides of the aspect, as far as they are within the limits."""
    for width in range(limits.shortest, limits.largest + 1, STRIDE):
        below = math.floor(width / aspect / STRIDE) * STRIDE
        for height in (below, below + STRIDE):
            size = Size(width, height)
            if height >= limits.shortest and limits.hold(size):
                yield size


def _apart(one: float, other: float) -> float:
    return abs(math.log(one / other))
