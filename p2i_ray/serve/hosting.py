"""Starting the shop on the cluster that this process has joined, and stopping it without losing a request."""

from __future__ import annotations

import ipaddress
import logging
import re
from typing import TYPE_CHECKING

from p2i_ray import cluster
from p2i_ray.config.serve import ScaleConfig, ShopConfig
from p2i_ray.errors import UserError
from p2i_ray.lmm.application import CONTROLLER
from p2i_ray.serve import app

if TYPE_CHECKING:
    from p2i_ray.serve.http.access import Tokens

FRONT_CPUS = 0.1


def start(name: str, shop: ShopConfig, tokens: Tokens) -> str:
    """Start the application; returns its address when it answers.

    Raises:
        UserError: the cluster has too little for one replica of each kind, or a model doesn't load.
    """
    from ray import serve

    scales: list[ScaleConfig] = [shop.serve.painter, *([shop.serve.lmm] if shop.serve.judge else [])]
    cluster.require(
        "serve.painter and serve.lmm",
        CPU=FRONT_CPUS + sum(max(1, scale.min_replicas) * scale.num_cpus for scale in scales),
        GPU=sum(max(1, scale.min_replicas) * scale.num_gpus for scale in scales),
    )
    graph = app.graph(shop, tokens)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # Serve's import has set its own
    host, port = shop.serve.host, shop.serve.port
    serve.start(
        proxy_location="HeadOnly" if _is_loopback(host) else "EveryNode",
        http_options={"host": host, "port": port},
        controller_options={"runtime_env": {"env_vars": CONTROLLER}},
        logging_config={"log_level": "WARNING", "enable_access_log": False},
    )
    try:
        serve.run(graph, name=name, route_prefix="/")
    except RuntimeError as error:
        why = _why(name) or str(error)
        serve.delete(name)
        raise UserError(f"the shop doesn't start: {why}") from error
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def stop(name: str) -> None:
    """Let nobody in any more, wait for those inside, and free what the replicas hold."""
    from ray import serve

    inside = serve.get_app_handle(name).close.remote().result(timeout_s=app.DRAINING_S + 5)
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
