"""The images of one request: decoded, painted, assessed, ranked, encoded. For HTTP requests and batch jobs alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.sampling.request import PaintRequest, work
from p2i_ray.generators.request import GeneratorRequest, Reference
from p2i_ray.provenance.marker import Marker, encode
from p2i_ray.serve.edge.metrics import HTTPMetrics
from p2i_ray.serve.images import truth
from p2i_ray.serve.images.acceptance import Assessor, NoneAcceptedError, Tally
from p2i_ray.serve.images.decoding import ImageDecoder
from p2i_ray.serve.images.encoding import GeneratedImage
from p2i_ray.serve.images.protocol import PaintedImage, Ranker, Sampler, StyleRanker
from p2i_ray.serve.images.ranking import Candidate, ranked
from p2i_ray.serve.images.schema import EditParams
from p2i_ray.serve.images.truth import TruthReport
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


@dataclass(frozen=True)
class Painted:
    """The images of a request, the best first where they were ranked, and what they took."""

    images: list[GeneratedImage]
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True)
class _Accepted:
    """An image that may be handed out, the seed of its noise, and its report where it was assessed."""

    image: PaintedImage
    seed: int
    report: TruthReport | None = None


class ImageService:
    """The work that requests and batch jobs share. For one event loop.

    Args:
        decoder: of clients' images.
        sampler: paints.
        judge: ranks candidates (none: no request is ranked).
        assessor: measures images, and says which may be handed out.
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
        assessor: Assessor,
        styles: StyleRanker | None = None,
        marker: Marker | None = None,
        metrics: HTTPMetrics,
    ) -> None:
        self._decoder, self._sampler, self._judge, self._metrics = decoder, sampler, judge, metrics
        self._assessor, self._styles, self._marker = assessor, styles, marker
        self._slots = asyncio.Semaphore(MAX_IN_THREADS)

    async def generate(self, params: EditParams, pictures: Pictures, source: str) -> Painted:
        """The images of a request, the best of them first where they are ranked.

        Where a request accepts not any image, those that are refused are painted anew with other seeds, until it has n
        images or params.most are painted; then it gets fewer.

        Args:
            params: of the request.
            pictures: the client's.
            source: "request" or "job", for the metrics.

        Raises:
            APIError: an image can't be used.
            NoneAcceptedError: all that was painted is refused.
            TooMuchWork: it takes longer to paint than a request may.
            Overloaded, NotReady: from the sampler or the judge.
        """
        with self._reserve(params, params.candidates, source):
            return await self._generate(params, pictures, source)

    def _reserve(self, params: EditParams, images: int, source: str) -> AbstractContextManager[None]:
        cost = work(params.width, params.height, params.steps, params.guidance)
        return self._sampler.reserve(images, cost, patient=source == "job")

    async def _generate(self, params: EditParams, pictures: Pictures, source: str) -> Painted:
        product, mask = await self._in_thread(
            "decode", self._decoder.product, pictures.image, pictures.mask, params.width, params.height
        )
        reference: Reference | None = None
        if pictures.reference is not None:
            reference = await self._in_thread(
                "decode", self._decoder.reference, pictures.reference, params.width, params.height
            )
        asked, tally = _request(params, product, mask, reference), Tally()
        accepted = await self._accepted(params, asked, tally, source)
        while len(accepted) < params.n and tally.painted < params.most:
            missing = min(params.n - len(accepted), params.most - tally.painted)
            with self._reserve(params, missing, source):
                accepted += await self._accepted(params, asked, tally, source, images=missing)
        if not accepted:
            raise NoneAcceptedError(params.accept, tally)
        chosen = await self._choose(params, [one.image.pixels for one in accepted], mask, reference)
        files = [self._encode(params, accepted[one.index], asked, candidate=one) for one in chosen]
        return Painted(await gather(files), tally)

    async def _accepted(
        self, params: EditParams, asked: PaintRequest, tally: Tally, source: str, *, images: int | None = None
    ) -> list[_Accepted]:
        """Paint some images (none: as many as at first), and return those that the request accepts."""
        start = tally.painted
        seeds = [image_seed(params.seed, start + k) for k in range(params.candidates if images is None else images)]
        with self._metrics.stage("paint"):
            painted = await gather([self._sampler.paint(replace(asked, seed=seed)) for seed in seeds])
        self._metrics.generated(len(painted), source)
        seconds = sum(image.seconds for image in painted)
        self._metrics.took(seconds, params.accept)
        tally.painted, tally.seconds = start + len(painted), tally.seconds + seconds
        found = [_Accepted(image, seed) for image, seed in zip(painted, seeds, strict=True)]
        if params.accept == "any":
            return found
        pixels = [image.pixels for image in painted]
        assessed = await self._assessor.assess(params.name, pixels, asked.product, asked.mask, accept=params.accept)
        for one in assessed:
            tally.refused.update(one.reasons)
        pairs = zip(found, assessed, strict=True)
        return [replace(image, report=one.report) for image, one in pairs if not one.reasons]

    async def cutout(self, image: bytes) -> bytes:
        """A photo's product as an RGBA PNG.

        Raises:
            APIError: the photo can't be used.
        """
        return await self._in_thread("cutout", self._decoder.cutout, image)

    async def _choose(
        self, params: EditParams, painted: list[Pixels], mask: Pixels, reference: Reference | None
    ) -> list[Candidate]:
        """The candidates to return; see `ranked`."""
        if not params.ranked or self._judge is None:
            return [Candidate(index) for index in range(min(params.n, len(painted)))]
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
        self, params: EditParams, accepted: _Accepted, asked: PaintRequest, *, candidate: Candidate
    ) -> GeneratedImage:
        pixels, product, mask = accepted.image.pixels, asked.product, asked.mask
        report = accepted.report or await self._assessor.report(pixels, product, mask)
        encoded = await self._in_thread("encode", self._file, params, accepted)
        if params.is_lossy:
            report = await self._in_thread("truth", truth.of_file, report, encoded, product, mask)
        return GeneratedImage(
            encoded,
            accepted.seed,
            report,
            self._assessor.limits,
            verdict=candidate.verdict,
            style=candidate.style,
            check_expansion=params.check_expansion,
        )

    def _file(self, params: EditParams, accepted: _Accepted) -> bytes:
        pixels, form, quality = accepted.image.pixels, params.output_format, params.quality
        if self._marker is None:
            return encode(pixels, form, quality=quality)
        return self._marker.encode(pixels, form, seed=accepted.seed, quality=quality, model=accepted.image.model)

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
