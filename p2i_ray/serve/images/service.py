"""A wish fulfilled: opened, painted, judged, measured, encoded. For requests and for batch jobs alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from p2i_ray.config.serve import LimitsConfig
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.serve.edge.metrics import HTTPMetrics
from p2i_ray.serve.images.decoding import ImageDecoder
from p2i_ray.serve.images.encoding import GeneratedImage, encode
from p2i_ray.serve.images.expansion import expansion
from p2i_ray.serve.images.protocol import Ranker, Sampler, Verdict
from p2i_ray.serve.images.schema import EditParams
from p2i_ray.storage import locations

OPENING = 4  # pictures decoded at a time: each may take limits.max_pixels * 4 bytes

T = TypeVar("T")


class ImageService:
    """What both ways in share. For one event loop."""

    def __init__(
        self,
        limits: LimitsConfig,
        intake: ImageDecoder,
        sampler: Sampler,
        judge: Ranker | None,
        watch: HTTPMetrics,
    ) -> None:
        self._limits, self._intake, self._sampler, self._judge = limits, intake, sampler, judge
        self._watch = watch
        self._opening = asyncio.Semaphore(OPENING)

    async def make(self, wish: EditParams, image: bytes, mask: bytes | None, by: str) -> list[GeneratedImage]:
        """The pictures wished for; of a ranked wish the best, the best first. `by`: "request" or "job".

        Raises:
            Refusal: a picture can't be used.
            Overloaded, NotReady: from the painter or the judge.
        """
        product, masked = await self._heavy("intake", self._intake.product, image, mask, wish.width, wish.height)
        seeds = [picture_seed(wish.seed, index) for index in range(wish.candidates)]
        with self._watch.stage("paint"):
            painted = await together([self._paint(wish, product, masked, seed) for seed in seeds])
        self._watch.painted(len(painted), by)
        chosen = await self._choose(wish, painted)
        return await together(
            [self._finish(wish, painted[index], masked, seeds[index], verdict) for index, verdict in chosen]
        )

    async def cutout(self, image: bytes) -> bytes:
        """A photo's product as an RGBA PNG.

        Raises:
            Refusal: the photo can't be used.
        """
        return await self._heavy("cutout", self._intake.cutout, image)

    async def _paint(self, wish: EditParams, product: Pixels, mask: Pixels, seed: int) -> Pixels:
        return await self._sampler.paint(
            PaintRequest(
                name=wish.name,
                product=product,
                mask=mask,
                seed=seed,
                steps=wish.steps,
                guidance=wish.guidance,
                negative=wish.negative,
                soft_edge=wish.soft_edge,
            )
        )

    async def _choose(self, wish: EditParams, painted: list[Pixels]) -> list[tuple[int, Verdict | None]]:
        """Which pictures are given, with what the judge says of them; those it can't judge come last."""
        if not wish.ranked or self._judge is None:
            return [(index, None) for index in range(wish.n)]
        with self._watch.stage("judge"):
            verdicts = await self._judge.rank(wish.name, painted)
        if len(verdicts) != len(painted):
            raise RuntimeError("the judge gave another number of verdicts than there are pictures")
        order = sorted(range(len(painted)), key=lambda index: -_rank(verdicts[index]))  # stable: ties in seed's order
        return [(index, verdicts[index]) for index in order[: wish.n]]

    async def _finish(
        self, wish: EditParams, pixels: Pixels, mask: Pixels, seed: int, verdict: Verdict | None
    ) -> GeneratedImage:
        grown = None
        if wish.check_expansion:
            grown = await self._heavy("expansion", expansion, pixels, mask)
        encoded = await self._heavy("encode", encode, pixels, wish.output_format, wish.quality)
        return GeneratedImage(encoded, seed, verdict, grown)

    async def _heavy(self, stage: str, work: Callable[..., T], *args: Any) -> T:
        """Work in a thread, a few at a time."""
        async with self._opening:
            with self._watch.stage(stage):
                return await asyncio.to_thread(work, *args)


def picture_seed(seed: int, index: int) -> int:
    """The seed of a request's i-th picture: the first has the request's own, so that any can be asked for again."""
    return seed if index == 0 else locations.seed_for(seed, "picture", index) % 2**32


async def together(work: list[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all; when one fails the others are cancelled, and its exception is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(piece) for piece in work]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


def _rank(verdict: Verdict) -> float:
    return float("-inf") if verdict.score is None else verdict.score
