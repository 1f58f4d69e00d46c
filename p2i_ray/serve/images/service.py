"""The images of one request: decoded, painted, judged, measured, encoded. For HTTP requests and batch jobs alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from p2i_ray.compositing.finish import Done, Finished, finisher
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.sampling.request import PaintRequest, work
from p2i_ray.generators.request import GeneratorRequest, Reference
from p2i_ray.provenance.marker import Marker, encode
from p2i_ray.serve.edge.metrics import HTTPMetrics
from p2i_ray.serve.images.decoding import ImageDecoder
from p2i_ray.serve.images.encoding import GeneratedImage
from p2i_ray.serve.images.expansion import expansion
from p2i_ray.serve.images.protocol import Ranker, Sampler, StyleRanker
from p2i_ray.serve.images.ranking import Candidate, ranked
from p2i_ray.serve.images.schema import EditParams
from p2i_ray.storage import locations

MAX_IN_THREADS = 4  # images decoded at a time: each may take limits.max_pixels * 4 bytes

T = TypeVar("T")


@dataclass(frozen=True)
class Pictures:
    """A request's pictures, encoded.

    Attributes:
        image: the product or a photo of it.
        mask: the client's mask (none: the image has it, or is segmented).
        reference: in whose style is painted (none: in no other picture's).
    """

    image: bytes
    mask: bytes | None = None
    reference: bytes | None = None


class ImageService:
    """The work that requests and batch jobs share. For one event loop.

    Args:
        decoder: of clients' images.
        sampler: paints.
        judge: ranks candidates (none: no request is ranked).
        styles: ranks those of a request with a reference, too.
        marker: encodes images with their marks (none: they have none).
        metrics: stages and images are counted there.
    """

    def __init__(
        self,
        *,
        decoder: ImageDecoder,
        sampler: Sampler,
        judge: Ranker | None,
        styles: StyleRanker | None = None,
        marker: Marker | None = None,
        metrics: HTTPMetrics,
    ) -> None:
        self._decoder, self._sampler, self._judge, self._metrics = decoder, sampler, judge, metrics
        self._styles, self._marker = styles, marker
        self._slots = asyncio.Semaphore(MAX_IN_THREADS)

    async def generate(self, params: EditParams, pictures: Pictures, source: str) -> list[GeneratedImage]:
        """The images of a request, the best of them first where they are ranked.

        Args:
            params: of the request.
            pictures: the client's.
            source: "request" or "job", for the metrics.

        Raises:
            APIError: an image can't be used.
            TooMuchWork: it takes longer to paint than a request may.
            Overloaded, NotReady: from the sampler or the judge.
        """
        cost = work(params.width, params.height, params.steps, params.guidance)
        with self._sampler.reserve(params.candidates, cost, patient=source == "job"):
            return await self._generate(params, pictures, source)

    async def _generate(self, params: EditParams, pictures: Pictures, source: str) -> list[GeneratedImage]:
        product, mask = await self._in_thread(
            "decode", self._decoder.product, pictures.image, pictures.mask, params.width, params.height
        )
        reference: Reference | None = None
        if pictures.reference is not None:
            reference = await self._in_thread(
                "decode", self._decoder.reference, pictures.reference, params.width, params.height
            )
        asked = _request(params, product, mask, reference)
        seeds = [image_seed(params.seed, index) for index in range(params.candidates)]
        with self._metrics.stage("paint"):
            painted = await gather([self._sampler.paint(replace(asked, seed=seed)) for seed in seeds])
        self._metrics.generated(len(painted), source)
        finished = await self._finish(params, painted, product, mask)
        painted = [one.pixels for one in finished]
        chosen = await self._choose(params, painted, mask, reference)
        images = await gather(
            [self._encode(params, painted[one.index], mask, seed=seeds[one.index], candidate=one) for one in chosen]
        )
        done = [finished[one.index].done.as_fields() for one in chosen]
        return [replace(image, compositing=one) for image, one in zip(images, done, strict=True)]

    async def cutout(self, image: bytes) -> bytes:
        """A photo's product as an RGBA PNG.

        Raises:
            APIError: the photo can't be used.
        """
        return await self._in_thread("cutout", self._decoder.cutout, image)

    async def _finish(self, params: EditParams, painted: list[Pixels], product: Pixels, mask: Pixels) -> list[Finished]:
        """The pictures with their products' shadows and light, where the request or the server wants that."""
        work = finisher(params.compositing)
        if work is None:
            return [Finished(picture, Done()) for picture in painted]
        return await gather([self._in_thread("finish", work, picture, product, mask) for picture in painted])

    async def _choose(
        self, params: EditParams, painted: list[Pixels], mask: Pixels, reference: Reference | None
    ) -> list[Candidate]:
        """The candidates to return; see `ranked`."""
        if not params.ranked or self._judge is None:
            return [Candidate(index) for index in range(params.n)]
        with self._metrics.stage("judge"):
            verdicts = await self._judge.rank(params.name, painted)
        if len(verdicts) != len(painted):
            raise RuntimeError("the judge gave another number of verdicts than there are pictures")
        if reference is None or self._styles is None:
            return ranked(verdicts)[: params.n]
        with self._metrics.stage("style"):
            styles = await self._styles.similarity(painted, mask, reference)
        return ranked(verdicts, styles)[: params.n]

    async def _encode(
        self, params: EditParams, pixels: Pixels, mask: Pixels, *, seed: int, candidate: Candidate
    ) -> GeneratedImage:
        growth = None
        if params.check_expansion:
            growth = await self._in_thread("expansion", expansion, pixels, mask)
        encoded = await self._in_thread("encode", self._file, params, pixels, seed)
        return GeneratedImage(encoded, seed, candidate.verdict, growth, style=candidate.style)

    def _file(self, params: EditParams, pixels: Pixels, seed: int) -> bytes:
        if self._marker is None:
            return encode(pixels, params.output_format, quality=params.quality)
        return self._marker.encode(pixels, params.output_format, seed=seed, quality=params.quality)

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


def _request(params: EditParams, product: Pixels, mask: Pixels, reference: Reference | None) -> PaintRequest:
    """What the sampler is asked for each image, but for its own seed."""
    plain = PaintRequest(
        name=params.name,
        product=product,
        mask=mask,
        seed=params.seed,
        steps=params.steps,
        guidance=params.guidance,
        negative=params.negative,
        soft_edge=params.soft_edge,
    )
    if params.category is None and reference is None:
        return plain
    references = () if reference is None else (reference,)
    return GeneratorRequest(**plain.__dict__, category=params.category, references=references)
