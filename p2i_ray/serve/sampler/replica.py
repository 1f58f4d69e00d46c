"""A replica of the sampler: requests arrive one by one and are painted in batches.

It holds one model. When the model folder changes, the new model takes over between two batches.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from p2i_ray.cluster import ray_internals
from p2i_ray.cluster.root_cause import memory_line
from p2i_ray.config import DiffusionConfig, GenerateConfig, ImageConfig
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.config.serve import ServeConfig
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.generators.request import Reference

if TYPE_CHECKING:
    from p2i_ray.diffusion.sampling.sampler import Sampler, SamplerOptions

LOGGER = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class SampledImage:
    """An image, with its batch size and timings.

    Attributes:
        pixels: (H, W, 3) uint8.
        batch: images of its batch, itself included.
        slots: images that its batch was filled up to.
        model: fingerprint of what painted it, see `fingerprint.of_models`.
        seconds: of each stage: queue is its own; text, denoise and paste are the batch's.
    """

    pixels: Pixels
    batch: int
    slots: int
    model: str
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _LoadedModel:
    sampler: Sampler
    fingerprint: str


class SamplerReplica:
    """One sampler, as a replica of the deployment."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self,
        *,
        model: str,
        settings: ServeConfig,
        diffusion: DiffusionConfig,
        generate: GenerateConfig,
        image: ImageConfig,
        generators: GeneratorsConfig,
        clip: str | None,
    ) -> None:
        """Load the model; return when requests can be painted.

        Args:
            model: location of the model folder; checked for changes every settings.reload_interval_s.
            settings: batching, and the replica's hardware.
            diffusion: the token, and whether a plain model is to be widened.
            generate: the precision.
            image: the resolution at which a new model is tested.
            generators: those beside the model; they are loaded again with a new model, and must fit it.
            clip: location of the CLIP that compares styles (none: they are not compared).

        Raises:
            UserError: the folder can't be used.
        """
        from p2i_ray.serve.sampler.batching import Batcher
        from p2i_ray.serve.sampler.metrics import ReplicaMetrics
        from p2i_ray.serve.sampler.reload import ReloadingModel

        ray_internals.replica_on_loopback()
        options = _sampler_options(settings, generate)
        self._fill_to = options.fill_to or 0
        self._max_batch_size = settings.max_batch_size

        def load(location: str) -> _LoadedModel:
            from p2i_ray.diffusion.model.fingerprint import of_models

            sampler = _sampler(location, diffusion, options, generators)
            sampler.try_out(image.resolution)
            return _LoadedModel(sampler, of_models(location, *generators.folders.values()))

        self._metrics = ReplicaMetrics()
        # One thread samples; another loads a new model meanwhile.
        self._thread, self._reader = ThreadPoolExecutor(1, "sampling"), ThreadPoolExecutor(1, "loading")
        self._comparing = ThreadPoolExecutor(1, "comparing")
        loop = asyncio.get_running_loop()
        self._styles: Any = None
        if clip is not None:
            from p2i_ray.serve.sampler.style import StyleEncoder

            self._styles = await loop.run_in_executor(self._reader, StyleEncoder, clip, options.device)
        self._model: ReloadingModel[_LoadedModel] = await loop.run_in_executor(
            self._reader, lambda: ReloadingModel(model, load, self._metrics.model_change)
        )
        self._next: _LoadedModel | None = None  # a model that takes over with the next batch
        self._batches: Batcher[PaintRequest, SampledImage] = Batcher(
            self._paint,
            key=attrgetter("batch_key"),
            max_batch_size=settings.max_batch_size,
            batch_wait_timeout_s=settings.batch_wait_timeout_s,
            on_batch=self._metrics.queued,
        )
        self._reloading = asyncio.create_task(self._reload(settings.reload_interval_s))
        self._broken: Exception | None = None

    async def paint(self, request: PaintRequest) -> SampledImage:
        """Paint a request in a batch with compatible ones.

        One cancelled while it waits is never painted; a batch whose requests are all cancelled stops at its next step.
        """
        arrived = time.perf_counter()
        self._metrics.waiting(len(self._batches) + 1)
        try:
            sampled = await self._batches.submit(request)
        except Exception:
            self._metrics.request("failed")
            raise
        except asyncio.CancelledError:
            self._metrics.request("cancelled")
            raise
        self._metrics.request("painted")
        queued = max(0.0, time.perf_counter() - arrived - sum(sampled.seconds.values()))
        return replace(sampled, seconds={"queue": queued, **sampled.seconds})

    async def similarity(self, pictures: Sequence[Pixels], mask: Pixels, reference: Reference) -> list[float]:
        """See `images.protocol.StyleRanker`."""
        loop = asyncio.get_running_loop()
        found: list[float] = await loop.run_in_executor(
            self._comparing, self._styles.similarity, pictures, mask, reference
        )
        return found

    async def ready(self) -> bool:
        """Return True: a replica that answers has a model."""
        return True

    async def check_health(self) -> None:
        """Raise if requests can't be painted any more; Serve then replaces this replica."""
        self._batches.check()
        if self._broken:
            raise self._broken

    def __del__(self) -> None:
        for task in (getattr(self, "_reloading", None), getattr(self, "_batches", None)):
            if task is not None:
                task.cancel()

    async def _paint(self, requests: list[PaintRequest], wanted: Callable[[], bool]) -> list[SampledImage]:
        """Paint one batch in the sampling thread."""
        if self._next is not None:
            self._model.use(self._next)
            self._next = None
            LOGGER.info("the new model is in use")
        from p2i_ray.diffusion.sampling.denoise import AbandonedError

        loaded, seconds = self._model.model, dict[str, float]()
        try:
            images = await asyncio.get_running_loop().run_in_executor(
                self._thread, loaded.sampler.paint, requests, seconds.__setitem__, wanted
            )
        except AbandonedError as stopped:
            LOGGER.info("a batch of %d is stopped: %s", len(requests), stopped)
            raise
        except Exception as error:
            if _device_lost(error):
                self._broken = error
            remedy = f"; lower serve.max_batch_size={self._max_batch_size}" if memory_line(error) else ""
            LOGGER.warning("a batch of %d failed: %s%s", len(requests), type(error).__name__, remedy)
            raise
        self._metrics.batch(len(requests), len(self._batches), seconds)
        slots = max(len(requests), self._fill_to)
        facts: dict[str, Any] = {"batch": len(requests), "slots": slots, "model": loaded.fingerprint}
        return [SampledImage(pixels, **facts, seconds=seconds) for pixels in images]

    async def _reload(self, interval_s: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(interval_s)
            try:
                found = await loop.run_in_executor(self._reader, self._model.poll)
            except Exception as error:  # a bucket that fails now may answer next time
                LOGGER.warning("can't read the model folder: %s: %s", type(error).__name__, error)
                continue
            if found is not None:
                self._next = found


def _sampler(
    location: str, diffusion: DiffusionConfig, options: SamplerOptions, generators: GeneratorsConfig
) -> Sampler:
    """The model of a folder, with the generators that there are."""
    if generators.category is None and generators.personality is None:
        from p2i_ray.diffusion.sampling.sampler import Sampler

        return Sampler(location, diffusion, options)
    from p2i_ray.generators.sampler import GeneratorSampler

    return GeneratorSampler(location, diffusion, options, settings=generators, optional=True)


def _sampler_options(settings: ServeConfig, generate: GenerateConfig) -> SamplerOptions:
    """The device of a replica, and the size to which its batches are padded."""
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


def _device_lost(error: Exception) -> bool:
    """Whether the CUDA context is lost, after which this process can compute nothing on the GPU."""
    import torch

    return isinstance(error, torch.AcceleratorError)
