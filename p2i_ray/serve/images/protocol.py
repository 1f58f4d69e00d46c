"""The interfaces between the HTTP side and the models."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.generators.request import Reference


@dataclass(frozen=True)
class Verdict:
    """The judge's opinion of an image.

    Attributes:
        score: 1 to 5, the expectation over the digits' probabilities; none: it couldn't be judged, see reason.
        reason: the judge's reason, or the error.
        preference: how much it is preferred to the other candidates, 0..1, where the best were compared in pairs.
    """

    score: float | None
    reason: str
    preference: float | None = None


@dataclass(frozen=True)
class PaintedImage:
    """An image, and what it took.

    Attributes:
        pixels: (H, W, 3) uint8.
        model: fingerprint of the model that painted it, which may have been replaced since the service was started.
        seconds: of a replica, its share of its batch; 0: unknown.
    """

    pixels: Pixels
    model: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class PaintingTime:
    """The seconds that images take to paint, with the sampler to themselves.

    Attributes:
        seconds: until all are there.
        replicas: that paint meanwhile.
    """

    seconds: float
    replicas: int


class Sampler(Protocol):
    """Paints images; safe to call concurrently."""

    def reserve(self, images: int, work: float, *, patient: bool = False) -> AbstractContextManager[None]:
        """Admit a request, whose images are painted within the context.

        Args:
            images: of the request.
            work: of each image, see `diffusion.sampling.request.work`.
            patient: nobody waits for an answer: it may take longer by itself.

        Raises:
            TooMuchWork: it takes longer than a request may.
            Overloaded: it would not be answered in time.
        """
        ...

    async def paint(self, request: PaintRequest) -> PaintedImage:
        """Return the image.

        Raises:
            Overloaded: as many requests wait as may.
            NotReady: no model is loaded.
        """
        ...

    def time_of(self, images: int, work: float) -> PaintingTime | None:
        """The time that images asked for together take, at the pace that was measured; none: it isn't known yet.

        Args:
            images: asked for at one time.
            work: of each image, see `diffusion.sampling.request.work`.
        """
        ...

    async def ready(self) -> bool:
        """Whether a request would be painted now."""
        ...


class StyleRanker(Protocol):
    """Compares painted backgrounds with a reference's."""

    async def similarity(self, images: Sequence[Pixels], mask: Pixels, reference: Reference) -> list[float]:
        """The similarity of each image's background to the reference's, -1 to 1, in their order.

        Args:
            images: (H, W, 3) uint8 each, of one product.
            mask: (H, W), 255 where the product is.
            reference: in whose style they are painted.

        Raises:
            Overloaded: it doesn't answer in time.
            NotReady: nothing runs that could compare them.
        """
        ...


class Ranker(Protocol):
    """Judges painted images."""

    async def rank(self, name: str, images: Sequence[Pixels]) -> list[Verdict]:
        """Return a verdict for each image of one product, in their order."""
        ...

    async def flaws(self, name: str, images: Sequence[Pixels]) -> list[tuple[str, ...] | None]:
        """Return the flaws of each image of one product, of judge.flaws, in their order; none: it can't be judged."""
        ...
