"""The client of the sampler's deployment: refuses at once beyond its capacity, and retries lost replicas."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from p2i_ray.config.serve import ServeConfig
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.generators.request import Reference
from p2i_ray.serve.edge.backpressure import Late, NotReady, Overloaded, TooMuchWork
from p2i_ray.serve.images.protocol import PaintedImage, PaintingTime
from p2i_ray.serve.sampler.admission import FEWEST, MAX_RETRY_AFTER_S, Admission
from p2i_ray.serve.sampler.deployment import capacity
from p2i_ray.serve.sampler.metrics import ClientMetrics
from p2i_ray.serve.sampler.replica import SampledImage

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle, DeploymentResponse, DeploymentResponseGenerator

TRIES = 2  # times that a request is sent: one replica may be lost with it
RUNS_S = 2.0  # in which a replica that runs says so
RECENT = 64  # images whose finishing times give the throughput
INITIAL_S_PER_IMAGE = 1.0  # before the throughput is known


class SamplerClient:
    """`images.protocol.Sampler` over a deployment handle. For one event loop; it counts its own requests in flight.

    Attributes:
        metrics: Prometheus collectors, not registered anywhere yet.
    """

    def __init__(self, handle: DeploymentHandle[Any], settings: ServeConfig) -> None:
        self._handle, self._settings = handle, settings
        self._capacity = capacity(settings)
        self._in_flight = self._painted = 0
        self._s_per_image = INITIAL_S_PER_IMAGE  # between two finished images while there is work
        self._finished: deque[float] = deque(maxlen=RECENT)  # times of finishing, since there has been work
        self._admission = Admission(settings.limits.answer_s, settings.sampler.max_replicas)
        self._filled = False  # whether batches are filled up to one size
        self.metrics = ClientMetrics()

    @contextmanager
    def reserve(self, images: int, work: float, *, patient: bool = False) -> Iterator[None]:
        """Admit a request before its images are painted within; see `Admission.reserve`.

        A request may take half of limits.answer_s by itself, so that others are answered behind it; a patient one all.
        """
        answer_s = self._settings.limits.answer_s
        with ExitStack() as reserved:
            try:
                most_s = answer_s if patient else answer_s / 2
                reserved.enter_context(self._admission.reserve(images, work, most_s))
            except (Overloaded, TooMuchWork):
                self.metrics.requests.labels("refused").inc(images)
                raise
            yield

    def time_of(self, images: int, work: float) -> PaintingTime | None:
        """See `images.protocol.Sampler`: replicas share the images evenly, and paint batch after batch.

        Batches that were seen to be filled up take as long as full ones.
        """
        pace = self._admission.usual_pace()
        if pace is None:
            return None
        replicas = min(self._settings.sampler.max_replicas, images)
        slots, batch = math.ceil(images / replicas), self._settings.max_batch_size
        if self._filled:
            slots = math.ceil(slots / batch) * batch
        return PaintingTime(slots * work * pace, replicas)

    async def paint(self, request: PaintRequest) -> PaintedImage:
        """The image; an accepted request isn't lost with a replica.

        Raises:
            Overloaded: as many requests are in flight as may be, or no image came within limits.answer_s.
            Late: neither did enough of others, by which admission would know that it takes too long, though one runs.
            NotReady: no replica runs, or two were lost with this request.
        """
        if self._in_flight >= self._capacity:
            self.metrics.requests.labels("refused").inc()
            raise Overloaded(self._retry_after_s())
        self._in_flight += 1
        self.metrics.in_flight.set(self._in_flight)
        before = self._painted
        try:
            async with asyncio.timeout(self._settings.limits.answer_s):
                sampled: SampledImage = await self._ask(lambda: self._handle.paint.remote(request))
            return PaintedImage(sampled.pixels, sampled.model, self._count(request, sampled))
        except TimeoutError:
            self.metrics.requests.labels("late").inc()
            if self._painted - before < FEWEST and await self._runs():
                raise Late(self._retry_after_s(), self._settings.limits.answer_s) from None
            raise Overloaded(self._retry_after_s()) from None
        except asyncio.CancelledError:
            self.metrics.requests.labels("cancelled").inc()
            raise
        finally:
            self._in_flight -= 1
            self.metrics.in_flight.set(self._in_flight)
            if self._in_flight == 0:
                self._finished.clear()

    async def similarity(self, images: Sequence[Pixels], mask: Pixels, reference: Reference) -> list[float]:
        """See `images.protocol.StyleRanker`."""
        try:
            async with asyncio.timeout(self._settings.limits.answer_s):
                found: list[float] = await self._ask(lambda: self._handle.similarity.remote(images, mask, reference))
                return found
        except TimeoutError:
            raise Overloaded(self._retry_after_s()) from None

    async def ready(self) -> bool:
        """Whether a replica answers. A deployment scaled to zero is ready: the first request starts a replica."""
        if self._settings.sampler.min_replicas == 0:
            return True
        from ray.exceptions import RayError
        from ray.serve.exceptions import RayServeException

        response = self._handle.ready.remote()
        try:
            return bool(await response)
        except asyncio.CancelledError:  # the caller decides how long it waits
            response.cancel()  # type: ignore[no-untyped-call]  # Ray's
            raise
        except (RayError, RayServeException):
            return False

    async def _runs(self) -> bool:
        """Whether a replica answers now: none is being started, or waited for."""
        from ray.exceptions import RayError
        from ray.serve.exceptions import RayServeException

        response = self._handle.ready.remote()
        try:
            async with asyncio.timeout(RUNS_S):
                return bool(await response)
        except (TimeoutError, RayError, RayServeException):
            response.cancel()  # type: ignore[no-untyped-call]  # Ray's
            return False

    async def _ask(self, send: Callable[[], DeploymentResponse[Any] | DeploymentResponseGenerator[Any]]) -> Any:
        """A replica's answer."""
        from ray.exceptions import ActorUnschedulableError
        from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RequestCancelledError

        from p2i_ray.cluster import replica_retry

        try:
            return await replica_retry.ask_async(
                send,
                TRIES,
                losses=(*replica_retry.LOST, RequestCancelledError),
                on_loss=self.metrics.requests.labels("lost").inc,
            )
        except BackPressureError:
            raise Overloaded(self._retry_after_s()) from None
        except (DeploymentUnavailableError, ActorUnschedulableError) as error:
            raise NotReady("the sampler isn't running") from error
        except replica_retry.ReplicaLostError as error:
            raise NotReady(f"{TRIES} replicas of the sampler were lost with this request") from error.__cause__

    def _count(self, request: PaintRequest, sampled: SampledImage) -> float:
        """Count a painted image; returns its share of its batch's seconds."""
        painting_s = sum(seconds for stage, seconds in sampled.seconds.items() if stage != "queue")
        self._filled = self._filled or sampled.slots > sampled.batch
        self._admission.observe(request.work, painting_s / sampled.slots)
        self._painted += 1
        self._finished.append(time.monotonic())
        if len(self._finished) > self._settings.max_batch_size:  # a batch is finished at one time
            self._s_per_image = (self._finished[-1] - self._finished[0]) / (len(self._finished) - 1)
        self.metrics.requests.labels("painted").inc()
        self.metrics.batch.observe(sampled.batch)
        for stage, seconds in sampled.seconds.items():
            self.metrics.seconds.labels(stage).observe(seconds)
        return painting_s / sampled.batch

    def _retry_after_s(self) -> float:
        """The time until half of the requests in flight will be done."""
        return min(MAX_RETRY_AFTER_S, max(1.0, self._s_per_image * self._in_flight / 2))
