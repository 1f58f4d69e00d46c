"""The judge's engines as a Ray Serve application of this job: started, asked, stopped.

It has no HTTP port, and goes when its driver goes, however that ends.
"""

from __future__ import annotations

import math
import uuid
from typing import TYPE_CHECKING, Any

from p2i_ray.cluster import placement, resources, serving
from p2i_ray.config import ImageConfig, JudgeConfig
from p2i_ray.errors import UserError
from p2i_ray.judge.batch.ask import GROUP
from p2i_ray.judge.engines.lifetime import start_owner
from p2i_ray.judge.engines.vllm.settings import engine_environment

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

DEPLOYMENT = "Engine"


class EngineDeployment:
    """A running application.

    Args:
        settings: the judge's, its model as engines should be told it.
        image: limits and size of pictures.
        seed: handed to the engines.
        engine: the replicas' class: `engine.Engine`, `hosted.Hosted`, or whatever has their methods.

    Raises:
        UserError: the cluster has too few CPUs or GPUs, or the model doesn't load.
    """

    def __init__(self, settings: JudgeConfig, image: ImageConfig, seed: int, engine: type) -> None:
        from ray import serve

        need = resources.judge(settings)
        placement.wait_for(need)
        serving.start_serve()
        self.name = f"judge-{uuid.uuid4().hex[:8]}"
        self._owner = start_owner()
        deployment = serve.deployment(engine).options(
            name=DEPLOYMENT,
            **_scale(settings),
            ray_actor_options={**need.bundle.options(), "runtime_env": _runtime_environment(settings)},
            max_ongoing_requests=_requests(settings),
            health_check_period_s=5,
            max_constructor_retry_count=1,
            logging_config=serving.QUIET,
        )
        try:
            serve.run(deployment.bind(settings, image, seed, self.name, self._owner), name=self.name, route_prefix=None)
        except RuntimeError as error:
            why = serving.startup_error(self.name) or str(error)
            serve.delete(self.name)
            raise UserError(f"the judge {settings.hosted.url or settings.model} doesn't start: {why}") from error

    def handle(self) -> DeploymentHandle:
        """What asks the engines."""
        from ray import serve

        return serve.get_deployment_handle(DEPLOYMENT, self.name)

    def stop(self) -> None:
        """Free what the engines hold."""
        from ray import serve

        serve.delete(self.name)


def rows_in_flight(settings: JudgeConfig) -> int:
    """Rows that all engines together compute at once, when there are as many as there may be."""
    if settings.hosted.url:
        return settings.hosted.max_concurrent_requests
    return (settings.max_replicas or settings.replicas) * settings.max_num_seqs


def _scale(settings: JudgeConfig) -> dict[str, Any]:
    if settings.hosted.url:
        return {"num_replicas": 1}  # one place that counts requests and dollars
    # Rows wait from a step's first second to its last: more engines are worth their start at once.
    return serving.scaling(
        min_replicas=settings.replicas,
        max_replicas=settings.max_replicas or settings.replicas,
        target_ongoing_requests=max(1, settings.max_num_seqs // GROUP),
    )


def _requests(settings: JudgeConfig) -> int:
    """Requests at one replica: beside what it computes, what it prepares next and what is on its way."""
    in_flight = settings.hosted.max_concurrent_requests if settings.hosted.url else settings.max_num_seqs
    return max(4, math.ceil(4 * in_flight / GROUP))


def _runtime_environment(settings: JudgeConfig) -> dict[str, Any]:
    """The driver's runtime environment, which replicas don't inherit, with the engine's variables on top."""
    import ray

    return serving.with_variables(dict(ray.get_runtime_context().runtime_env), engine_environment(settings))
