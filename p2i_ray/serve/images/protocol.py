"""The interfaces between the HTTP side and the models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.sampling.request import PaintRequest


@dataclass(frozen=True)
class Verdict:
    """The judge's opinion of an image.

    Attributes:
        score: 1 to 5, the expectation over the digits' probabilities; none: it couldn't be judged, see reason.
        reason: the judge's reason, or the error.
    """

    score: float | None
    reason: str


class Sampler(Protocol):
    """Paints images; safe to call concurrently."""

    async def paint(self, request: PaintRequest) -> Pixels:
        """Return the image, (H, W, 3) uint8.

        Raises:
            Overloaded: as many requests wait as may.
            NotReady: no model is loaded.
        """
        ...

    async def ready(self) -> bool:
        """Whether a request would be painted now."""
        ...


class Ranker(Protocol):
    """Scores painted images."""

    async def rank(self, name: str, images: Sequence[Pixels]) -> list[Verdict]:
        """Return a verdict for each image of one product, in their order."""
        ...
