"""Finish the requests in flight before Ray Serve is stopped, which by itself ends its proxies, and them, at once.

    python -m p2i_ray.serve.drain

closes the services of this project on the cluster of RAY_ADDRESS (none: the one on this machine): new requests get 503
with Retry-After, those in flight are finished, then the applications are deleted.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, cast

from p2i_ray.errors import UserError

if TYPE_CHECKING:
    from ray.serve.schema import ApplicationStatusOverview, DeploymentStatusOverview

CLUSTER_WITHIN_S = 5.0  # its head listens already
REACHED_S = 10.0  # in which a front that runs says something
FRONTS = ("Front", "LMMFront")  # deployments of this project's services


def stop(name: str) -> None:
    """Refuse an application's new requests, wait for those in flight, and free what its replicas hold."""
    from ray import serve

    front = serve.get_app_handle(name)
    answer_s = front.answer_s.remote().result(timeout_s=REACHED_S)
    unfinished = front.close.remote().result(timeout_s=answer_s + REACHED_S)
    if unfinished:
        logging.getLogger("ray.serve").warning("%d requests are cut off", unfinished)
    serve.delete(name)


def drain() -> list[str]:
    """Close and delete this project's running applications; return their names."""
    import ray
    from ray import serve

    if not ray.is_initialized():  # interrupted before it began; asking Serve would start a cluster
        return []
    names = answering(serve.status().applications)
    for name in names:
        stop(name)
    return names


def answering(applications: Mapping[str, ApplicationStatusOverview]) -> list[str]:
    """The names of this project's applications whose front answers, also while another part still starts or is lost."""
    return [
        name
        for name, application in applications.items()
        for front, deployment in application.deployments.items()
        if front in FRONTS and _running(deployment) and application.status != "DELETING"
    ]


def _running(deployment: DeploymentStatusOverview) -> int:
    return cast("Mapping[str, int]", deployment.replica_states).get("RUNNING", 0)  # the states are strings


def before_interrupt(work: Callable[[], object] = drain) -> None:
    """Have the first Ctrl-C do this work before it interrupts; the second interrupts at once. For the main thread."""

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("stopping: requests in flight are finished first", flush=True)
        work()
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, handle)


def in_serves_command() -> bool:
    """Whether this process is `serve run` itself, and not a worker that builds an application for it."""
    return Path(sys.argv[0]).name == "serve"


def _join(address: str) -> None:
    """Join the cluster at an address; empty: the one on this machine.

    Raises:
        UserError: there is none, or it doesn't take this process.
    """
    import ray

    from p2i_ray.cluster import connection, reachable

    if address:
        reachable.check(address, "RAY_ADDRESS", otherwise="for the cluster on this machine", within_s=CLUSTER_WITHIN_S)
    try:
        ray.init(address="auto", namespace="serve", log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, ValueError, RuntimeError) as error:
        line = connection.refusal(error, f"RAY_ADDRESS={address}" if address else "")
        if line is None and isinstance(error, ConnectionError):
            line = "no Ray cluster runs here; set RAY_ADDRESS to the cluster's address"
        if line is None:
            raise
        raise UserError(line) from None


def main() -> None:
    """Drain the cluster that runs."""
    try:
        _join(os.environ.get("RAY_ADDRESS", ""))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    names = drain()
    print(f"closed: {', '.join(names)}" if names else "no service of this project runs on the cluster")


if __name__ == "__main__":
    main()
