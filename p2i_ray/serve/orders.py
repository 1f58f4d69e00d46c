"""What the HTTP side and the models say to each other: an order is one picture to paint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from p2i_ray.epbd.images import Pixels


@dataclass(frozen=True)
class Order:
    """One picture to paint.

    Attributes:
        name: the product's.
        product: (H, W, 3) uint8; only the product's pixels matter.
        mask: (H, W) uint8, 255 where the product is.
        seed: of its noise; the picture depends on nothing else in the batch it rides in.
        steps: denoising steps.
        guidance: classifier-free guidance scale; 1 is off.
        negative: what it should not look like; empty: nothing.
        soft_edge: blur of the mask's edge when the product is pasted back, pixels.
    """

    name: str
    product: Pixels
    mask: Pixels
    seed: int
    steps: int
    guidance: float
    negative: str = ""
    soft_edge: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """What the judge thinks of a picture.

    Attributes:
        score: 1 to 5, expected over the digits' probabilities; none: it couldn't be judged, see reason.
        reason: in words.
    """

    score: float | None
    reason: str


class Overloaded(Exception):  # noqa: N818, it is a state, not a mistake
    """There is no room for this request now; the attribute says when to come again."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"busy; try again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class NotReady(Exception):  # noqa: N818
    """The models are being loaded, or were lost and are being started again."""


class Painter(Protocol):
    """Paints orders; safe to be asked by many at once."""

    async def paint(self, order: Order) -> Pixels:
        """The picture, (H, W, 3) uint8.

        Raises:
            Overloaded: as many orders wait as may.
            NotReady: no model is loaded.
        """
        ...

    async def ready(self) -> bool:
        """Whether an order would be painted now."""
        ...


class Judge(Protocol):
    """Judges painted pictures."""

    async def rank(self, name: str, pictures: Sequence[Pixels]) -> list[Verdict]:
        """A verdict for each picture of one product, in their order."""
        ...
