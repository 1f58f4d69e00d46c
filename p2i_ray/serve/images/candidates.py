"""The painting of a request's images until enough of them are accepted."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from p2i_ray.compositing.finish import Done, Finished, finisher
from p2i_ray.config.seeds import seed_for
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.serve.edge.backpressure import Late, Overloaded
from p2i_ray.serve.edge.metrics import HTTPMetrics
from p2i_ray.serve.images.acceptance import Assessor, NoneAcceptedError, Tally
from p2i_ray.serve.images.params import EditParams
from p2i_ray.serve.images.protocol import PaintedImage, Sampler
from p2i_ray.serve.images.threads import StageThreads, gather
from p2i_ray.serve.images.truth import TruthReport

PAINTING = 0.75  # of limits.answer_s, after which a request that has an accepted image gets no more


@dataclass(frozen=True)
class AcceptedImage:
    """An image that may be handed out.

    Attributes:
        image: as it was painted, with its product's shadow and light.
        seed: of its noise.
        report: how true it is to its product, where that was measured.
        done: to its product's shadow and light.
    """

    image: PaintedImage
    seed: int
    report: TruthReport | None = None
    done: Done = field(default_factory=Done)


class CandidatePainter:
    """Paints candidates; those that are refused again, with other seeds. For one event loop.

    Args:
        sampler: paints.
        assessor: says which may be handed out.
        threads: shadow and light are computed there.
        metrics: images are counted there.
        answer_s: longest time for a request's answer, seconds.
    """

    def __init__(
        self,
        *,
        sampler: Sampler,
        assessor: Assessor,
        threads: StageThreads,
        metrics: HTTPMetrics,
        answer_s: float,
    ) -> None:
        self._sampler, self._assessor, self._threads, self._metrics = sampler, assessor, threads, metrics
        self._answer_s = answer_s

    async def paint(
        self, params: EditParams, asked: PaintRequest, tally: Tally, *, source: str, reserved: ExitStack
    ) -> list[AcceptedImage]:
        """The accepted images in the order of painting.

        The first params.candidates are painted in any case. Then so many more as are missing to params.n, until
        params.most are painted. Where the sampler has no room for these, or they would come too late for an answer, a
        request gets those that it has, and a job, for which nobody waits, keeps them until there is.

        Args:
            params: of the request.
            asked: of each image, but for its seed.
            tally: what all takes is added to it, also where it fails.
            source: "request" or "job", for the metrics.
            reserved: the room for the first images, given back when they are painted.

        Raises:
            NoneAcceptedError: all that was painted is refused.
            TooMuchWork, Overloaded, NotReady: from the sampler or the judge.
        """
        latest = asyncio.get_running_loop().time() + PAINTING * self._answer_s
        accepted = await self._some(params, asked, tally, images=params.candidates, source=source)
        reserved.close()
        while len(accepted) < params.n and tally.painted < params.most:
            missing = min(params.n - len(accepted), params.most - tally.painted)
            try:
                async with asyncio.timeout_at(latest if accepted and source == "request" else None):
                    with self._sampler.reserve(missing, asked.work, patient=source == "job"):
                        accepted += await self._some(params, asked, tally, images=missing, source=source)
            except TimeoutError:  # they would be lost with the answer
                break
            except Late:
                raise
            except Overloaded as full:
                if source == "job":
                    await asyncio.sleep(full.retry_after_s)
                elif accepted:  # fewer images now are better than none and a second painting
                    break
                else:
                    raise
        if not accepted:
            raise NoneAcceptedError(params.accept, tally)
        return accepted

    async def _some(
        self, params: EditParams, asked: PaintRequest, tally: Tally, *, images: int, source: str
    ) -> list[AcceptedImage]:
        """Paint some images, and return those that the request accepts."""
        seeds = [image_seed(params.seed, tally.painted + k) for k in range(images)]
        with self._metrics.stage("paint"):
            painted = await gather([self._sampler.paint(replace(asked, seed=seed)) for seed in seeds])
        seconds = sum(image.seconds for image in painted)
        self._metrics.generated(images, source)
        self._metrics.took(seconds, params.accept)
        tally.painted, tally.seconds = tally.painted + images, tally.seconds + seconds
        pairs = zip(painted, seeds, strict=True)
        found = await gather([self._finished(params, asked, AcceptedImage(image, seed)) for image, seed in pairs])
        if params.accept == "any":
            return found
        pixels = [one.image.pixels for one in found]
        assessed = await self._assessor.assess(
            params.name, pixels, asked.product, asked.mask, accept=params.accept, source=source
        )
        for one in assessed:
            tally.refused.update(one.reasons)
        return [
            replace(one, report=known.report) for one, known in zip(found, assessed, strict=True) if not known.reasons
        ]

    async def _finished(self, params: EditParams, asked: PaintRequest, one: AcceptedImage) -> AcceptedImage:
        """The image with its product's shadow and light, where the request or the server wants that."""
        finish = finisher(params.compositing)
        if finish is None:
            return one

        def composite() -> Finished:
            return finish(one.image.pixels, asked.product, asked.pasted_mask())

        pixels, done = await self._threads.run("finish", composite)
        return replace(one, image=replace(one.image, pixels=pixels), done=done)


def image_seed(seed: int, index: int) -> int:
    """The seed of a request's i-th image: the first has the request's own, so that each can be reproduced."""
    return seed if index == 0 else seed_for(seed, "picture", index) % 2**32
