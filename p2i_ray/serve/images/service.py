"""The images of one request: decoded, painted, assessed, ranked, encoded. For HTTP requests and batch jobs alike."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.sampling.request import PaintRequest, work
from p2i_ray.errors import UserError
from p2i_ray.generators.request import GeneratorRequest, Reference
from p2i_ray.provenance.marker import Marker
from p2i_ray.serve.edge.backpressure import CannotSign
from p2i_ray.serve.edge.metrics import HTTPMetrics
from p2i_ray.serve.images.acceptance import Assessor, Tally
from p2i_ray.serve.images.candidates import AcceptedImage, CandidatePainter
from p2i_ray.serve.images.decoding import ImageDecoder
from p2i_ray.serve.images.encoding import GeneratedImage
from p2i_ray.serve.images.files import frame_file
from p2i_ray.serve.images.framing import Shape
from p2i_ray.serve.images.params import EditParams
from p2i_ray.serve.images.patience import patiently
from p2i_ray.serve.images.protocol import Ranker, Sampler, StyleRanker
from p2i_ray.serve.images.ranking import Candidate, ranked
from p2i_ray.serve.images.threads import StageThreads, gather


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
        assessor: measures images, and says which may be handed out.
        styles: ranks those of a request with a reference, too.
        marker: encodes images with their marks (none: they have none).
        threads: images are decoded, finished and encoded there.
        metrics: stages and images are counted there.
        answer_s: longest time for a request's answer, seconds.
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
        threads: StageThreads,
        metrics: HTTPMetrics,
        answer_s: float,
    ) -> None:
        self._decoder, self._sampler, self._judge, self._metrics = decoder, sampler, judge, metrics
        self._assessor, self._styles, self._marker = assessor, styles, marker
        self._threads = threads
        self._candidates = CandidatePainter(
            sampler=sampler, assessor=assessor, threads=self._threads, metrics=metrics, answer_s=answer_s
        )

    async def generate(
        self, params: EditParams, pictures: Pictures, tally: Tally, *, source: str
    ) -> list[GeneratedImage]:
        """The images of a request, the best of them first where they are ranked.

        Where a request accepts not any image, there may be fewer than it wants.

        Args:
            params: of the request.
            pictures: the client's.
            tally: what the images take is added to it, also where the request fails after that.
            source: "request" or "job", for the metrics.

        Raises:
            APIError: an image can't be used.
            NoneAcceptedError: all that was painted is refused.
            TooMuchWork: it takes longer to paint than a request may.
            Overloaded, NotReady: from the sampler or the judge.
            CannotSign: the certificate has ended.
        """
        await self._check_marker()
        shape = await self._shape(params, pictures)
        cost = work(shape.canvas.width, shape.canvas.height, params.steps, params.guidance)
        with ExitStack() as reserved:
            reserved.enter_context(self._sampler.reserve(params.candidates, cost, patient=source == "job"))
            return await self._generate(params, shape, pictures, tally, source=source, reserved=reserved)

    async def _check_marker(self) -> None:
        """See that pictures can be signed, before any is painted."""
        if self._marker is None:
            return
        try:
            await asyncio.to_thread(self._marker.check)
        except UserError as error:
            self._metrics.failure(error)
            raise CannotSign from error

    async def _shape(self, params: EditParams, pictures: Pictures) -> Shape:
        """The geometry; size=auto follows the reference, whose shape a picture must have, else the product's image."""
        if isinstance(params.shape, Shape):
            return params.shape
        sent = (pictures.image, "image") if pictures.reference is None else (pictures.reference, "reference")
        return params.shape.of(await self._threads.run("decode", self._decoder.size, *sent))

    async def _generate(
        self,
        params: EditParams,
        shape: Shape,
        pictures: Pictures,
        tally: Tally,
        *,
        source: str,
        reserved: ExitStack,
    ) -> list[GeneratedImage]:
        decoded = partial(self._decoder.product, pictures.image, pictures.mask, shape)
        product, mask = await self._threads.run("decode", decoded)
        reference: Reference | None = None
        if pictures.reference is not None:
            reference = await self._threads.run("decode", self._decoder.reference, pictures.reference, *shape.canvas)
        asked = _request(params, product, mask, reference)
        accepted = await self._candidates.paint(params, asked, tally, source=source, reserved=reserved)
        chosen = await self._choose(params, [one.image.pixels for one in accepted], mask, reference, source=source)
        files = [self._files(params, shape, accepted[one.index], asked, candidate=one) for one in chosen]
        return [image for images in await gather(files) for image in images]

    async def cutout(self, image: bytes) -> bytes:
        """A photo's product as an RGBA PNG.

        Raises:
            APIError: the photo can't be used.
        """
        return await self._threads.run("cutout", self._decoder.cutout, image)

    async def _choose(
        self, params: EditParams, painted: list[Pixels], mask: Pixels, reference: Reference | None, *, source: str
    ) -> list[Candidate]:
        """The candidates to return; see `ranked`."""
        judge, styles = self._judge, self._styles
        if not params.ranked or judge is None:
            return [Candidate(index) for index in range(min(params.n, len(painted)))]
        with self._metrics.stage("judge"):
            verdicts = await patiently(lambda: judge.rank(params.name, painted), source)
        if len(verdicts) != len(painted):
            raise RuntimeError("the judge gave another number of verdicts than there are pictures")
        if reference is None or styles is None:
            return ranked(verdicts)[: params.n]
        with self._metrics.stage("style"):
            found = await patiently(lambda: styles.similarity(painted, mask, reference), source)
        return ranked(verdicts, found)[: params.n]

    async def _files(
        self, params: EditParams, shape: Shape, accepted: AcceptedImage, asked: PaintRequest, *, candidate: Candidate
    ) -> list[GeneratedImage]:
        """The files of an image, one for each frame."""
        report = accepted.report or await self._assessor.report(accepted.image.pixels, asked.product, asked.mask)
        made = partial(frame_file, params, accepted=accepted, asked=asked, report=report, marker=self._marker)
        files = await gather([self._threads.run("encode", made, frame) for frame in shape.frames])
        return [
            GeneratedImage(
                file.encoded,
                accepted.seed,
                size=frame.output,
                canvas=shape.canvas,
                report=file.report,
                limits=self._assessor.limits,
                crop=frame.crop,
                lowered=file.lowered,
                verdict=candidate.verdict,
                style=candidate.style,
                check_expansion=params.check_expansion,
                compositing=accepted.done.as_fields(),
                painted_as=params.painted_as,
            )
            for frame, file in zip(shape.frames, files, strict=True)
        ]


def _request(params: EditParams, product: Pixels, mask: Pixels, reference: Reference | None) -> PaintRequest:
    """The request to the sampler for each image, but for its own seed."""
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
