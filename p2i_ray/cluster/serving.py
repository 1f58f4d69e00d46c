"""Start, scaling, logging and error reports that every Ray Serve application of this project shares."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2i_ray.config.environment import ENVIRONMENT

if TYPE_CHECKING:
    from ray.serve import Deployment

CONTROLLER = {
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",  # its default, 0.1, keeps a tenth of a core busy
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",  # its default, 5, ends a proxy that starts on a busy machine
}
QUIET = {"log_level": "WARNING", "enable_access_log": False}  # logging_config of Serve and of each deployment


def start_serve(
    *,
    http_options: dict[str, Any] | None = None,
    proxy_location: str = "Disabled",
    environment: dict[str, Any] | None = None,
) -> None:
    """Start Ray Serve on the cluster that this process joined, quietly; a running one stays as it is.

    Args:
        http_options: host and port of the proxies (none: no HTTP).
        proxy_location: nodes with an HTTP proxy, in Serve's words.
        environment: the runtime environment of Serve's controller and its proxies (none: that of the cluster).
    """
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # Serve's import has set its own
    serve.start(
        proxy_location=proxy_location,
        http_options=http_options,
        controller_options={"runtime_env": with_variables(environment or {}, CONTROLLER)},
        logging_config=QUIET,
    )


def scaling(
    *,
    min_replicas: int,
    max_replicas: int,
    target_ongoing_requests: float,
    responsive: bool = True,
    downscale_delay_s: float | None = None,
) -> dict[str, Any]:
    """The deployment options that say how many replicas there are.

    Args:
        min_replicas: replicas without requests.
        max_replicas: most replicas; as many as min_replicas: no autoscaling.
        target_ongoing_requests: requests a replica that autoscaling aims at.
        responsive: add replicas within seconds, where requests that wait are worth a replica's start at once (False:
            Serve's own delays).
        downscale_delay_s: idle time before a replica goes, seconds (none: Serve's own).
    """
    if min_replicas == max_replicas:
        return {"num_replicas": max_replicas}
    bounds = {
        "min_replicas": min_replicas,
        "max_replicas": max_replicas,
        "target_ongoing_requests": target_ongoing_requests,
    }
    delays = {"upscale_delay_s": 3, "metrics_interval_s": 1, "look_back_period_s": 3} if responsive else {}
    patience = {} if downscale_delay_s is None else {"downscale_delay_s": downscale_delay_s}
    return {"autoscaling_config": {**bounds, **delays, **patience}}


def deployment(kind: type, options: dict[str, Any]) -> Deployment:
    """A class as a deployment with these options."""
    from ray import serve

    found: Deployment = serve.deployment(kind).options(**options)  # type: ignore[attr-defined]  # Ray's overloads
    return found


def runtime_environment() -> dict[str, Any]:
    """The runtime environment of an application's replicas, which don't inherit the driver's."""
    import ray

    found = dict(ray.get_runtime_context().runtime_env) if ray.is_initialized() else {}
    root = str(Path(__file__).parents[2])
    return {**found, "env_vars": {**ENVIRONMENT, "PYTHONPATH": root, **found.get("env_vars", {})}}


def with_variables(environment: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
    """A runtime environment with further environment variables on top."""
    return {**environment, "env_vars": {**environment.get("env_vars", {}), **variables}}


def replica_states(application: str) -> dict[str, dict[str, int]]:
    """By deployment of an application, the number of its replicas in each of Serve's states; empty at first."""
    from ray import serve

    found = serve.status().applications.get(application)
    deployments = found.deployments if found else {}
    return {
        name: {str(state): count for state, count in status.replica_states.items()}
        for name, status in deployments.items()
    }


def startup_error(application: str) -> str:
    """The cause of a failed start: the last line of the replica's exception, as Serve reports it; may be empty."""
    from ray import serve

    found = serve.status().applications.get(application)
    return error_line([status.message for status in found.deployments.values()] if found else [])


def error_line(messages: list[str]) -> str:
    """The line of Serve's messages that names the last exception; of pydantic's, which have many, the last line."""
    lines = [line.strip() for message in messages for line in message.splitlines()]
    lines = [line for line in lines if line and "errors.pydantic.dev" not in line]
    named = [line for line in lines if re.match(r"[\w.]+(Error|Exception): ", line)]
    last = lines[-1] if lines else ""
    line = named[-1] if named and "ValidationError: " not in named[-1] else last
    return re.sub(r" \[type=\w+, input_value=.*", "", line.removeprefix("p2i_ray.errors.UserError: "))
