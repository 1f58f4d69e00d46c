"""Starting an HTTP application on the cluster that this process joined, and stopping it without losing a request."""

from __future__ import annotations

import ipaddress
import logging
import re
import signal
import socket
import threading
from types import FrameType
from typing import TYPE_CHECKING

from p2i_ray.cluster import placement, resources
from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.errors import UserError
from p2i_ray.judge.batch.deployment import CONTROLLER
from p2i_ray.serve.app import DRAINING_S

if TYPE_CHECKING:
    from ray.serve import Application


def check_port(host: str, port: int, setting: str) -> None:
    """Raises UserError, which names the setting, if nothing can listen there."""
    try:
        with socket.create_server((host, port), reuse_port=False):
            pass
    except OSError as error:
        raise UserError(f"can't listen on {host}:{port}: {error.strerror}; give another {setting}") from None


def require(shop: ServeJobConfig) -> None:
    """Raises UserError if the cluster has too little for one painter and, where it is hosted, one judge."""
    placement.wait_for(*resources.shop(shop))


def start(name: str, graph: Application, host: str, port: int) -> str:
    """Start an application; returns its address when it answers.

    Raises:
        UserError: a model doesn't load.
    """
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # Serve's import has set its own
    serve.start(
        proxy_location="HeadOnly" if _is_loopback(host) else "EveryNode",
        http_options={"host": host, "port": port},
        controller_options={"runtime_env": {"env_vars": CONTROLLER}},
        logging_config={"log_level": "WARNING", "enable_access_log": False},
    )
    try:
        serve.run(graph, name=name, route_prefix="/")
    except RuntimeError as error:
        why = _why(name) or " ".join(str(error).split())[-300:]
        serve.delete(name)
        raise UserError(f"the {name} doesn't start: {why}") from error
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def until_stopped() -> threading.Event:
    """An event that Ctrl-C or SIGTERM sets; the second one ends the process at once. After Ray has set its own."""
    stopped = threading.Event()

    def stop(number: int, _: FrameType | None) -> None:
        stopped.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return stopped


def stop(name: str) -> None:
    """Let nobody in any more, wait for those inside, and free what the replicas hold."""
    from ray import serve

    inside = serve.get_app_handle(name).close.remote().result(timeout_s=DRAINING_S + 5)
    if inside:
        logging.getLogger("ray.serve").warning("%d requests are cut off", inside)
    serve.delete(name)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _why(name: str) -> str:
    """The last line of what Serve knows about an application that failed to start: its replica's exception."""
    from ray import serve

    found = serve.status().applications.get(name)
    lines = [line.strip() for one in (found.deployments.values() if found else ()) for line in one.message.splitlines()]
    errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception)?: ", line) and "pydantic.dev" not in line]
    return re.sub(r"^p2i_ray\.errors\.UserError: ", "", errors[-1]) if errors else ""
