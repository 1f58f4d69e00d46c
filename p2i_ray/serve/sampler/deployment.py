"""The painter as a Ray Serve deployment: orders come one by one, and are painted in batches.

A replica holds one model. It is replaced by the next one, between two batches, when the model folder changes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from p2i_ray.cluster import resources
from p2i_ray.config import DiffusionConfig, GenerateConfig, ImageConfig
from p2i_ray.config.serve import ScaleConfig, ServeConfig
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.sampling.request import PaintRequest

if TYPE_CHECKING:
    from p2i_ray.diffusion.sampling.sampler import SamplerOptions

LOGGER = logging.getLogger("ray.serve")
BATCHES = (1, 2, 4, 8, 16, 32)  # boundaries of the histograms
SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LOADING_S = 1800.0  # longest time for a model to load, before Serve gives up on a replica


@dataclass(frozen=True)
class SampledImage:
    """A picture, and how it came about.

    Attributes:
        pixels: (H, W, 3) uint8.
        batch: pictures that were painted with it, itself among them.
        seconds: of each stage: queue is its own; text, denoise and paste are the batch's.
    """

    pixels: Pixels
    batch: int
    seconds: dict[str, float] = field(default_factory=dict)


class SamplerReplica:
    """One painter, as Serve's replica."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self,
        model: str,
        settings: ServeConfig,
        diffusion: DiffusionConfig,
        generate: GenerateConfig,
        image: ImageConfig,
    ) -> None:
        """Load the model; returns when orders can be painted.

        Args:
            model: location of the model folder; looked at every settings.reload_interval_s from then on.
            settings: batching, and the replica's hardware.
            painter: the token, and whether a plain model is to be widened.
            generate: the arithmetic.
            image: the resolution at which a model is tried out.

        Raises:
            UserError: the folder can't be used.
        """
        from p2i_ray.diffusion.sampling.sampler import Sampler
        from p2i_ray.serve.sampler.batching import Batcher
        from p2i_ray.serve.sampler.reload import ReloadingModel

        def load(location: str) -> Sampler:
            sampler = Sampler(location, diffusion, _sampler_options(settings, generate))
            sampler.try_out(image.resolution)
            return sampler

        self._metrics = _Metrics()
        # One thread paints; another reads a new model meanwhile.
        self._thread, self._reader = ThreadPoolExecutor(1, "painting"), ThreadPoolExecutor(1, "reading")
        loop = asyncio.get_running_loop()
        self._watched: ReloadingModel[Any] = await loop.run_in_executor(
            self._reader, lambda: ReloadingModel(model, load)
        )
        self._next: Any = None  # a model that takes over with the next batch
        self._batches: Batcher[PaintRequest, SampledImage] = Batcher(
            self._paint,
            attrgetter("batch_key"),
            settings.max_batch_size,
            settings.batch_wait_timeout_s,
            self._metrics.taken,
        )
        self._watching = asyncio.create_task(self._watch(settings.reload_interval_s))
        self._broken: Exception | None = None

    async def paint(self, order: PaintRequest) -> SampledImage:
        """Paint an order with others that are compatible; when the request is cancelled before its turn, not at all."""
        arrived = time.perf_counter()
        self._metrics.queue(len(self._batches) + 1)
        try:
            painted = await self._batches.submit(order)
        except Exception:
            self._metrics.pictures("failed")
            raise
        self._metrics.pictures("painted")
        queued = max(0.0, time.perf_counter() - arrived - sum(painted.seconds.values()))
        return SampledImage(painted.pixels, painted.batch, {"queue": queued, **painted.seconds})

    async def ready(self) -> bool:
        """True: a replica that answers has a model."""
        return True

    async def check_health(self) -> None:
        """Raises if orders wouldn't be painted any more; Serve then replaces this replica."""
        self._batches.check()
        if self._broken:
            raise self._broken

    def __del__(self) -> None:
        for task in (getattr(self, "_watching", None), getattr(self, "_batches", None)):
            if task is not None:
                task.cancel()

    async def _paint(self, orders: list[PaintRequest]) -> list[SampledImage]:
        """One batch, beside the event loop."""
        if self._next is not None:
            self._watched.take(self._next)
            self._next = None
            LOGGER.info("the new model paints from now on")
        sampler, seconds = self._watched.model, dict[str, float]()
        try:
            pictures = await asyncio.get_running_loop().run_in_executor(
                self._thread, sampler.paint, orders, seconds.__setitem__
            )
        except Exception as error:
            if _lost_the_device(error):
                self._broken = error
            LOGGER.warning("a batch of %d failed: %s", len(orders), type(error).__name__)
            raise
        self._metrics.batch(len(orders), len(self._batches), seconds)
        return [SampledImage(picture, len(orders), seconds) for picture in pictures]

    async def _watch(self, every_s: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(every_s)
            try:
                found = await loop.run_in_executor(self._reader, self._watched.look)
            except Exception as error:  # a bucket that doesn't answer now may answer next time
                LOGGER.warning("can't look at the model folder: %s: %s", type(error).__name__, error)
                continue
            if found is not None:
                self._next = found


def options(settings: ServeConfig, environment: dict[str, Any]) -> dict[str, Any]:
    """The deployment's options.

    Args:
        settings: the shop's.
        environment: the replicas' runtime environment.
    """
    scale = settings.sampler
    # Passive: threads that wait for each other by spinning are sixty times as slow when another process wants a core.
    threads = {"OMP_NUM_THREADS": str(scale.threads or max(1, int(scale.num_cpus))), "OMP_WAIT_POLICY": "passive"}
    at_once = capacity(settings)
    return {
        "name": "Painting",
        **scaling(scale),
        "ray_actor_options": {
            **resources.replica(scale).options(),
            "runtime_env": {**environment, "env_vars": {**environment.get("env_vars", {}), **threads}},
        },
        "max_ongoing_requests": at_once + 8,  # whoever asks lets in no more; the others ask whether it is ready
        "max_queued_requests": 2 * at_once + 8,  # waiting for a replica to start, those of a lost one among them
        "health_check_period_s": 2,
        "health_check_timeout_s": 30,
        "graceful_shutdown_wait_loop_s": 0.5,
        "graceful_shutdown_timeout_s": settings.limits.answer_s,
        "max_constructor_retry_count": 1,
        "logging_config": {"log_level": "WARNING", "enable_access_log": False},
    }


def capacity(settings: ServeConfig) -> int:
    """Pictures that may be on their way at once: those that wait, and those that all replicas paint."""
    return settings.limits.queue + settings.sampler.max_replicas * settings.max_batch_size


def scaling(scale: ScaleConfig) -> dict[str, Any]:
    """How many replicas there are; more while requests wait."""
    if scale.min_replicas == scale.max_replicas:
        return {"num_replicas": scale.max_replicas}
    return {
        "autoscaling_config": {
            "min_replicas": scale.min_replicas,
            "max_replicas": scale.max_replicas,
            "target_ongoing_requests": scale.target_ongoing_requests,
            "upscale_delay_s": 3,
            "downscale_delay_s": 120,
            "metrics_interval_s": 1,
            "look_back_period_s": 3,
        }
    }


def _sampler_options(settings: ServeConfig, generate: GenerateConfig) -> SamplerOptions:
    """Where a replica computes, and the size to which its batches are filled up."""
    import torch

    from p2i_ray.diffusion.sampling.determinism import any_batch_alike
    from p2i_ray.diffusion.sampling.sampler import SamplerOptions

    device = "cuda" if settings.sampler.num_gpus else "cpu"
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    fill = settings.exact and not any_batch_alike(generate.dtype, device)
    return SamplerOptions(
        dtype=generate.dtype,
        device=device,
        fill_to=settings.max_batch_size if fill else None,
        mixed=True,
        copy_weights=True,
    )


def _lost_the_device(error: Exception) -> bool:
    """Whether a GPU's context is gone, with which nothing can be computed any more in this process."""
    import torch

    return isinstance(error, torch.AcceleratorError)


class _Metrics:
    """What Ray's Prometheus endpoint tells of a replica."""

    def __init__(self) -> None:
        from ray.util.metrics import Counter, Gauge, Histogram

        self._queue = Gauge("p2i_painter_queue", "Orders that wait for their turn.")
        self._batch = Histogram("p2i_painter_batch", "Pictures painted together.", boundaries=list(BATCHES))
        self._seconds = Histogram("p2i_painter_seconds", "Seconds of a stage.", list(SECONDS), ("stage",))
        self._pictures = Counter("p2i_painter_pictures", "Orders, by their outcome.", ("outcome",))

    def queue(self, waiting: int) -> None:
        self._queue.set(waiting)

    def taken(self, waited_s: list[float]) -> None:
        for seconds in waited_s:
            self._seconds.observe(max(seconds, 1e-9), {"stage": "queue"})

    def batch(self, pictures: int, waiting: int, seconds: dict[str, float]) -> None:
        self._batch.observe(pictures)
        self._queue.set(waiting)
        for stage, duration in seconds.items():
            self._seconds.observe(max(duration, 1e-9), {"stage": stage})

    def pictures(self, outcome: str) -> None:
        self._pictures.inc(1, {"outcome": outcome})
