"""What the HTTP side and the models say to each other: an order is one picture to paint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.sampling.request import PaintRequest


@dataclass(frozen=True)
class Verdict:
    """What the judge thinks of a picture.

    Attributes:
        score: 1 to 5, expected over the digits' probabilities; none: it couldn't be judged, see reason.
        reason: in words.
    """

    score: float | None
    reason: str


class Sampler(Protocol):
    """Paints orders; safe to be asked by many at once."""

    async def paint(self, order: PaintRequest) -> Pixels:
        """The picture, (H, W, 3) uint8.

        Raises:
            Overloaded: as many orders wait as may.
            NotReady: no model is loaded.
        """
        ...

    async def ready(self) -> bool:
        """Whether an order would be painted now."""
        ...


class Ranker(Protocol):
    """Judges painted pictures."""

    async def rank(self, name: str, pictures: Sequence[Pixels]) -> list[Verdict]:
        """A verdict for each picture of one product, in their order."""
        ...
