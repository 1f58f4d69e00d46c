"""The sampler's deployment with Ray Serve: its replicas' resources, their number, and what may be in flight."""

from __future__ import annotations

from typing import Any

from p2i_ray.cluster import resources, serving
from p2i_ray.config.serve import ScaleConfig, ServeConfig

NAME = "Sampler"  # the deployment's
DOWNSCALE_DELAY_S = 120.0


def options(settings: ServeConfig, environment: dict[str, Any]) -> dict[str, Any]:
    """The deployment's options.

    Args:
        settings: the service's.
        environment: the replicas' runtime environment.
    """
    scale = settings.sampler
    # Passive: spinning threads are sixty times as slow when another process competes for a core.
    threads = {"OMP_NUM_THREADS": str(scale.threads or max(1, int(scale.num_cpus))), "OMP_WAIT_POLICY": "passive"}
    in_flight = capacity(settings)
    return {
        "name": NAME,
        **scaling(scale),
        "ray_actor_options": {
            **resources.replica(scale).options(),
            "runtime_env": serving.with_variables(environment, threads),
        },
        "max_ongoing_requests": in_flight + 8,  # the client sends no more than these, and asks for readiness
        "max_queued_requests": 2 * in_flight + 8,  # while a replica starts; those of a lost one come again
        "health_check_period_s": 2,
        "health_check_timeout_s": 30,
        "graceful_shutdown_wait_loop_s": 0.5,
        "graceful_shutdown_timeout_s": settings.limits.answer_s,
        "max_constructor_retry_count": 1,
        "logging_config": serving.QUIET,
    }


def scaling(scale: ScaleConfig) -> dict[str, Any]:
    """The number of replicas of the generator service's models, as deployment options."""
    return serving.scaling(
        min_replicas=scale.min_replicas,
        max_replicas=scale.max_replicas,
        target_ongoing_requests=scale.target_ongoing_requests,
        downscale_delay_s=DOWNSCALE_DELAY_S,
    )


def capacity(settings: ServeConfig) -> int:
    """Images that may be in flight at once: those that wait, and those that all replicas paint."""
    return settings.limits.queue + settings.sampler.max_replicas * settings.max_batch_size
