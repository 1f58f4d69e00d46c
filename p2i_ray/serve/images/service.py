"""The images of one request: decoded, painted, judged, measured, encoded. For HTTP requests and batch jobs alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.sampling.request import PaintRequest, work
from p2i_ray.serve.edge.metrics import HTTPMetrics
from p2i_ray.serve.images.decoding import ImageDecoder
from p2i_ray.serve.images.encoding import GeneratedImage, encode
from p2i_ray.serve.images.expansion import expansion
from p2i_ray.serve.images.protocol import Ranker, Sampler, Verdict
from p2i_ray.serve.images.schema import EditParams
from p2i_ray.storage import locations

MAX_IN_THREADS = 4  # images decoded at a time: each may take limits.max_pixels * 4 bytes

T = TypeVar("T")


class ImageService:
    """The work that requests and batch jobs share. For one event loop.

    Args:
        decoder: of clients' images.
        sampler: paints.
        judge: ranks candidates (none: no request is ranked).
        metrics: stages and images are counted there.
    """

    def __init__(self, *, decoder: ImageDecoder, sampler: Sampler, judge: Ranker | None, metrics: HTTPMetrics) -> None:
        self._decoder, self._sampler, self._judge, self._metrics = decoder, sampler, judge, metrics
        self._slots = asyncio.Semaphore(MAX_IN_THREADS)

    async def generate(self, params: EditParams, image: bytes, mask: bytes | None, source: str) -> list[GeneratedImage]:
        """The images of a request, the best of them first where they are ranked.

        Args:
            params: of the request.
            image: the client's product or photo, encoded.
            mask: the client's mask, encoded (none: the image has the mask, or is segmented).
            source: "request" or "job", for the metrics.

        Raises:
            APIError: an image can't be used.
            TooMuchWork: it takes longer to paint than a request may.
            Overloaded, NotReady: from the sampler or the judge.
        """
        cost = work(params.width, params.height, params.steps, params.guidance)
        with self._sampler.reserve(params.candidates, cost, patient=source == "job"):
            return await self._generate(params, image, mask, source)

    async def _generate(
        self, params: EditParams, image: bytes, mask: bytes | None, source: str
    ) -> list[GeneratedImage]:
        product, product_mask = await self._in_thread(
            "decode", self._decoder.product, image, mask, params.width, params.height
        )
        seeds = [image_seed(params.seed, index) for index in range(params.candidates)]
        with self._metrics.stage("paint"):
            painted = await gather([self._paint(params, product, product_mask, seed) for seed in seeds])
        self._metrics.generated(len(painted), source)
        chosen = await self._choose(params, painted)
        return await gather(
            [
                self._encode(params, painted[index], product_mask, seed=seeds[index], verdict=verdict)
                for index, verdict in chosen
            ]
        )

    async def cutout(self, image: bytes) -> bytes:
        """A photo's product as an RGBA PNG.

        Raises:
            APIError: the photo can't be used.
        """
        return await self._in_thread("cutout", self._decoder.cutout, image)

    async def _paint(self, params: EditParams, product: Pixels, mask: Pixels, seed: int) -> Pixels:
        return await self._sampler.paint(
            PaintRequest(
                name=params.name,
                product=product,
                mask=mask,
                seed=seed,
                steps=params.steps,
                guidance=params.guidance,
                negative=params.negative,
                soft_edge=params.soft_edge,
            )
        )

    async def _choose(self, params: EditParams, painted: list[Pixels]) -> list[tuple[int, Verdict | None]]:
        """The indices of the images to return, with their verdicts; those without a score come last."""
        if not params.ranked or self._judge is None:
            return [(index, None) for index in range(params.n)]
        with self._metrics.stage("judge"):
            verdicts = await self._judge.rank(params.name, painted)
        if len(verdicts) != len(painted):
            raise RuntimeError("the judge gave another number of verdicts than there are pictures")
        ranked = sorted(range(len(painted)), key=lambda index: -_score(verdicts[index]))  # stable: ties stay in order
        return [(index, verdicts[index]) for index in ranked[: params.n]]

    async def _encode(
        self, params: EditParams, pixels: Pixels, mask: Pixels, *, seed: int, verdict: Verdict | None
    ) -> GeneratedImage:
        growth = None
        if params.check_expansion:
            growth = await self._in_thread("expansion", expansion, pixels, mask)
        encoded = await self._in_thread("encode", encode, pixels, params.output_format, params.quality)
        return GeneratedImage(encoded, seed, verdict, growth)

    async def _in_thread(self, stage: str, function: Callable[..., T], *args: Any) -> T:
        """The result of a function in a thread, a few at a time."""
        async with self._slots:
            with self._metrics.stage(stage):
                return await asyncio.to_thread(function, *args)


def image_seed(seed: int, index: int) -> int:
    """The seed of a request's i-th image: the first has the request's own, so that each can be reproduced."""
    return seed if index == 0 else locations.seed_for(seed, "picture", index) % 2**32


async def gather(pieces: list[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all; when one fails the others are cancelled, and its exception is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(piece) for piece in pieces]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


def _score(verdict: Verdict) -> float:
    return float("-inf") if verdict.score is None else verdict.score
