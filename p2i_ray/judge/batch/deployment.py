"""The judge's engines as a Ray Serve application of this job: start, handle, stop.

It has no HTTP port and ends with its driver, however the driver ends.
"""

from __future__ import annotations

import math
import uuid
from typing import TYPE_CHECKING, Any, cast

from p2i_ray.cluster import placement, resources, serving
from p2i_ray.config import ImageConfig, JudgeConfig
from p2i_ray.errors import UserError
from p2i_ray.judge.batch.ask import GROUP
from p2i_ray.judge.engines.lifetime import end_owner, start_owner
from p2i_ray.judge.engines.vllm.settings import engine_environment

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

DEPLOYMENT = "Engine"


class EngineDeployment:
    """A running application.

    Args:
        settings: settings of the judge; the model is an absolute folder or an id on the hub.
        image: limits and size of pictures.
        seed: passed to the engines.
        engine: class of the replicas: VLLMEngine, OpenAIEngine, or any class with their methods.

    Raises:
        UserError: the cluster has too few CPUs or GPUs, or the model doesn't load.
    """

    def __init__(self, settings: JudgeConfig, image: ImageConfig, seed: int, engine: type) -> None:
        from ray import serve

        needed = resources.judge(settings)
        placement.wait_for(needed)
        serving.start_serve()
        self.name = f"judge-{uuid.uuid4().hex[:8]}"
        self._owner = start_owner()
        self._is_hosted = bool(settings.hosted.url)
        self._usage: dict[str, float] = {}  # at the last report
        options = {
            "name": DEPLOYMENT,
            **_replicas(settings),
            "ray_actor_options": {**needed.bundle.options(), "runtime_env": _runtime_environment(settings)},
            "max_ongoing_requests": _max_ongoing_requests(settings),
            "health_check_period_s": 5,
            "graceful_shutdown_wait_loop_s": 0.2,  # Serve's own look whether a stopped engine is idle comes after 2 s
            "max_constructor_retry_count": 1,
            "logging_config": serving.QUIET,
        }
        deployment = serving.deployment(engine, options)
        application = deployment.bind(
            settings=settings, limits=image, seed=seed, application=self.name, owner=self._owner
        )
        try:
            serve.run(application, name=self.name, route_prefix=None)
        except RuntimeError as error:
            reason = serving.startup_error(self.name) or str(error)
            self.stop()
            raise UserError(f"the judge {settings.hosted.url or settings.model} doesn't start: {reason}") from error

    def handle(self) -> DeploymentHandle[Any]:
        """A handle of the engines."""
        from ray import serve

        return serve.get_deployment_handle(DEPLOYMENT, self.name)

    def new_usage(self) -> dict[str, float]:
        """Usage of a hosted endpoint since the last call: requests, retries, tokens, dollars; empty for own engines."""
        if not self._is_hosted:
            return {}
        before, self._usage = self._usage, cast(dict[str, float], cast(Any, self.handle()).facts.remote().result())
        return {name: value - before.get(name, 0) for name, value in self._usage.items()}

    def stop(self) -> None:
        """Free what the engines hold."""
        from ray import serve

        serve.delete(self.name)
        end_owner(self._owner)


def rows_in_flight(settings: JudgeConfig) -> int:
    """Rows that all engines together process at once, at the largest number of engines."""
    if settings.hosted.url:
        return settings.hosted.max_concurrent_requests
    return (settings.max_replicas or settings.replicas) * settings.max_num_seqs


def _replicas(settings: JudgeConfig) -> dict[str, Any]:
    """Serve's options for the number of replicas."""
    if settings.hosted.url:
        return {"num_replicas": 1}  # one process counts requests and dollars
    # A step has rows waiting from its first second to its last, so another engine pays off at once.
    return serving.scaling(
        min_replicas=settings.replicas,
        max_replicas=settings.max_replicas or settings.replicas,
        target_ongoing_requests=max(1, settings.max_num_seqs // GROUP),
    )


def _max_ongoing_requests(settings: JudgeConfig) -> int:
    """Requests at one replica: those that it computes, those that it prepares next, and those on the way."""
    in_flight = settings.hosted.max_concurrent_requests if settings.hosted.url else settings.max_num_seqs
    return max(4, math.ceil(4 * in_flight / GROUP))


def _runtime_environment(settings: JudgeConfig) -> dict[str, Any]:
    """The driver's runtime environment, which replicas don't inherit, plus the engine's variables."""
    import ray

    return serving.with_variables(dict(ray.get_runtime_context().runtime_env), engine_environment(settings))
