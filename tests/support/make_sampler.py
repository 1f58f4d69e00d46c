"""The sampler's deployment as tests start it: no HTTP port, the mini preset's model, an application name of its own."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2i_ray.config import GenerateConfig, ImageConfig
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.config.serve import LimitsConfig, ScaleConfig, ServeConfig
from tests.support.make_requests import DIFFUSION

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

SCALE = ScaleConfig(num_gpus=0, num_cpus=0.5)
SETTINGS = ServeConfig(
    max_batch_size=4, batch_wait_timeout_s=0.2, reload_interval_s=0.2, sampler=SCALE, limits=LimitsConfig(queue=16)
)


@contextmanager
def running_sampler(
    settings: ServeConfig = SETTINGS,
    model: str = DIFFUSION.base,
    kind: type | None = None,
    *,
    generators: GeneratorsConfig | None = None,
    clip: str | None = None,
) -> Iterator[Any]:
    """A handle of a running sampler."""
    from ray import serve

    from p2i_ray.cluster import serving
    from p2i_ray.serve.sampler.deployment import options
    from p2i_ray.serve.sampler.replica import SamplerReplica

    serving.start_serve()
    name = f"sampler-{uuid.uuid4().hex[:8]}"
    deployment = serving.deployment(kind or SamplerReplica, options(settings, serving.runtime_environment()))
    generate = GenerateConfig(num_gpus=0, dtype="fp32")
    bound = deployment.bind(
        model=model,
        settings=settings,
        diffusion=DIFFUSION,
        generate=generate,
        image=ImageConfig(resolution=64),
        generators=generators or GeneratorsConfig(),
        clip=clip,
    )
    try:
        yield serve.run(bound, name=name, route_prefix=None)
    finally:
        serve.delete(name)


def kill_replicas(handle: DeploymentHandle[Any]) -> int:
    """End the processes of a deployment's replicas at once; returns how many there were."""
    import ray

    prefix = f"SERVE_REPLICA::{handle.app_name}#"
    actors = [actor for actor in ray.util.list_named_actors(all_namespaces=True) if actor["name"].startswith(prefix)]
    for actor in actors:
        ray.kill(ray.get_actor(actor["name"], actor["namespace"]))
    return len(actors)


async def gather(*work: Any) -> list[Any]:
    """Results, or the exceptions in their places."""
    return await asyncio.gather(*work, return_exceptions=True)


def local(folder: Path) -> str:
    """A copy of the mini preset's model."""
    import shutil

    shutil.copytree(DIFFUSION.base, folder)
    return str(folder)
