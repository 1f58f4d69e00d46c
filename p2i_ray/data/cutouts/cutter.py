"""A cutter finds the product in photos: what it is asked, and what it answers.

Arrays are uint8, height x width (x channels, RGB); masks are 255 where the product is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from p2i_ray.data.errors import ImageError
from p2i_ray.data.images import Pixels


class Cut(NamedTuple):
    """The product in a photo."""

    mask: Pixels  # (H, W), the photo's size
    disagreement: float | None  # of two cuts, 0..1; none: it was cut once
    confidence: float | None = None  # GrabCut's likeness of the mask to a product, 0 to about 2.5


class Cutter(Protocol):
    """Anything that cuts products out of photos."""

    kind: str  # as the setting names it

    def cut(self, photos: Sequence[Pixels]) -> list[Cut | ImageError]:
        """Cut photos (H, W, 3) of any sizes; in place of a cut the reason why there is none."""
        ...
