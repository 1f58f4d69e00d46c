"""Asking the painter's deployment: refuses at once what it can't bear, and asks again when a replica was lost."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from p2i_ray.config.serve import ServeConfig
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.serve.edge.backpressure import NotReady, Overloaded
from p2i_ray.serve.sampler.deployment import BATCHES, SECONDS, SampledImage, capacity

if TYPE_CHECKING:
    from prometheus_client.metrics import MetricWrapperBase
    from ray.serve.handle import DeploymentHandle

TRIES = 2  # times that an order is handed on: a painter may be lost with it once
RECENT = 64  # pictures whose times of finishing say how quick the painter is
FIRST_S = 1.0  # seconds a picture, before that is known
LONGEST_S = 60.0  # that a client is told to wait


class SamplerClient:
    """`orders.Painter` over a deployment handle. For one event loop; it counts what it has let in itself.

    Attributes:
        metrics: Prometheus collectors of what it saw, not registered anywhere yet.
    """

    def __init__(self, handle: DeploymentHandle, settings: ServeConfig) -> None:
        self._handle, self._settings = handle, settings
        self._room = capacity(settings)
        self._let_in = 0
        self._pace_s = FIRST_S  # between two finished pictures while there is work
        self._finished: deque[float] = deque(maxlen=RECENT)  # when, since there has been work
        self.metrics = _Metrics()

    async def paint(self, order: PaintRequest) -> Pixels:
        """The picture, (H, W, 3) uint8; an order that was let in isn't lost with a replica.

        Raises:
            Overloaded: no room, or no picture within limits.answer_s.
            NotReady: there is no painter, or it was lost twice with this order.
        """
        if self._let_in >= self._room:
            self.metrics.pictures.labels("refused").inc()
            raise Overloaded(self._retry_after_s())
        self._let_in += 1
        self.metrics.queue.set(self._let_in)
        try:
            async with asyncio.timeout(self._settings.limits.answer_s):
                painted = await self._painted(order)
            self._count(painted)
            return painted.pixels
        except TimeoutError:
            self.metrics.pictures.labels("late").inc()
            raise Overloaded(self._retry_after_s()) from None
        finally:
            self._let_in -= 1
            self.metrics.queue.set(self._let_in)
            if self._let_in == 0:
                self._finished.clear()

    async def ready(self) -> bool:
        """Whether a painter answers. One that may be scaled to nothing is ready: the first order brings it back."""
        if self._settings.sampler.min_replicas == 0:
            return True
        from ray.exceptions import RayError
        from ray.serve.exceptions import RayServeException

        response = self._handle.ready.remote()
        try:
            return bool(await response)
        except asyncio.CancelledError:  # whoever asks waits as long as he likes
            response.cancel()
            raise
        except (RayError, RayServeException):
            return False

    async def _painted(self, order: PaintRequest) -> SampledImage:
        from ray.exceptions import ActorUnschedulableError, ObjectLostError, RayActorError, WorkerCrashedError
        from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RequestCancelledError

        for tries_left in reversed(range(TRIES)):
            response = self._handle.paint.remote(order)
            try:
                painted: SampledImage = await response
                return painted
            except asyncio.CancelledError:
                response.cancel()  # it leaves the painter's queue
                raise
            except BackPressureError:
                raise Overloaded(self._retry_after_s()) from None
            except (DeploymentUnavailableError, ActorUnschedulableError) as error:
                raise NotReady("the painter isn't running") from error
            except (RayActorError, ObjectLostError, WorkerCrashedError, RequestCancelledError) as error:
                self.metrics.pictures.labels("lost").inc()
                if not tries_left:
                    raise NotReady("the painter was lost with this order, twice") from error
        raise AssertionError

    def _count(self, painted: SampledImage) -> None:
        self._finished.append(time.monotonic())
        if len(self._finished) > self._settings.max_batch_size:  # a batch is finished at one time
            self._pace_s = (self._finished[-1] - self._finished[0]) / (len(self._finished) - 1)
        self.metrics.pictures.labels("painted").inc()
        self.metrics.batch.observe(painted.batch)
        for stage, seconds in painted.seconds.items():
            self.metrics.seconds.labels(stage).observe(seconds)

    def _retry_after_s(self) -> float:
        """When half of what is on its way will be done."""
        return min(LONGEST_S, max(1.0, self._pace_s * self._let_in / 2))


class _Metrics:
    """Prometheus collectors; iterate over them to register them."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self.queue = Gauge("p2i_painter_queue", "Pictures on their way through the painter", registry=None)
        self.batch = Histogram("p2i_painter_batch", "Pictures painted together", buckets=BATCHES, registry=None)
        self.seconds = Histogram(
            "p2i_painter_seconds", "Seconds of a picture's stages", ["stage"], buckets=SECONDS, registry=None
        )
        self.pictures = Counter("p2i_painter_pictures", "Orders, by their outcome", ["outcome"], registry=None)

    def __iter__(self) -> Iterator[MetricWrapperBase]:
        return iter((self.queue, self.batch, self.seconds, self.pictures))
