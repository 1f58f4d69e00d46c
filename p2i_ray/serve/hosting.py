"""Hosting an HTTP application on the cluster that this process joins, until a signal stops it; no request is lost."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from p2i_ray.cluster import connection, listening, placement, ray_internals, serving
from p2i_ray.cluster.resources import Phase
from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.errors import UserError
from p2i_ray.serve import console, drain
from p2i_ray.serve.edge import hosts, proxy
from p2i_ray.serve.edge.tokens import Tokens

if TYPE_CHECKING:
    from ray.serve import Application


@dataclass(frozen=True)
class Service:
    """An application to host.

    Attributes:
        name: Serve's name of the application, also used in messages.
        check: raises a UserError for what can't be used of the settings, before a cluster is joined. It must ask Ray
            nothing: Ray would join whatever cluster runs on this machine, or start one beyond loopback.
        graph: makes the application's graph, on the cluster.
        resources: what the cluster must have for it.
        port: TCP port.
        port_setting: the setting's name, for messages.
        suffix: printed after the address.
    """

    name: str
    check: Callable[[ServeJobConfig, Tokens], object]
    graph: Callable[[ServeJobConfig, Tokens], Application]
    resources: Phase
    port: int
    port_setting: str
    suffix: str = ""


def host(config: ServeJobConfig, service: Service) -> None:
    """Run a service until Ctrl-C or SIGTERM; requests in flight are finished first.

    Raises:
        UserError: the port is taken, a model can't be used, the cluster has too little, or the application doesn't
            start.
    """
    import ray
    from ray import serve

    names = (*config.serve.allowed_hosts, *hosts.local_names(config.serve.host))
    config = config.model_copy(update={"serve": config.serve.model_copy(update={"allowed_hosts": names})})
    tokens = Tokens.from_settings(config.serve)
    check_port(config.serve.host, service.port, service.port_setting)
    service.check(config, tokens)
    connection.connect(config.ray)
    placement.wait_for(*service.resources)
    stopped = until_stopped()
    address = start(service.name, service.graph(config, tokens), config.serve.host, service.port)
    print(f"{address}{service.suffix}  (Ctrl-C stops it)", flush=True)
    if tokens.made:
        print(f"token: {tokens.made}  (made now; set {config.serve.token_env} to choose it)", flush=True)
    if connection.started_here():
        others = [one for one in listening.beyond_loopback() if one.port != service.port]
        if notice := listening.notice(others, os.environ):
            print(notice, flush=True)
    print(
        f"logs: {ray_internals.log_folder()}  (requests: worker-*.err, a line of JSON each; Serve's: serve/)",
        flush=True,
    )
    with console.requests(serve.get_app_handle(service.name)) if config.serve.access_log else nullcontext():
        stopped.wait()
    print("stopping: requests in flight are finished first", flush=True)
    drain.stop(service.name)
    ray.shutdown()


def check_port(host: str, port: int, setting: str) -> None:
    """Raise UserError, which names the setting, if nothing can listen there."""
    try:
        with socket.create_server((host, port), reuse_port=False):
            pass
    except OSError as error:
        raise UserError(f"can't listen on {host}:{port}: {error.strerror}; give another {setting}") from None


def start(name: str, graph: Application, host: str, port: int) -> str:
    """Start an application; return its address when it answers.

    Raises:
        UserError: a model doesn't load, or Serve's proxy doesn't start.
    """
    from ray import serve
    from ray.exceptions import GetTimeoutError, RayActorError

    try:
        serving.start_serve(
            proxy_location="HeadOnly" if hosts.is_loopback(host) else "EveryNode",
            http_options={"host": host, "port": port},
            environment=serving.with_variables(serving.runtime_environment(), proxy.VARIABLE),
        )
    except (RayActorError, GetTimeoutError) as error:
        raise UserError(
            f"Serve's HTTP proxy doesn't start on {host}:{port} ({type(error).__name__}); is the machine busy? "
            "Start again when it is less so; the proxy's log is in Ray's folder of logs, serve/proxy_*.log"
        ) from error
    try:
        with console.starting(name):
            serve.run(graph, name=name, route_prefix="/")
    except RuntimeError as error:
        why = serving.startup_error(name) or " ".join(str(error).split())[-300:]
        serve.delete(name)
        raise UserError(f"the {name} doesn't start: {why}") from error
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def until_stopped() -> threading.Event:
    """An event that Ctrl-C or SIGTERM sets; the second signal ends the process. Call it after Ray has set its own."""
    stopped = threading.Event()

    def stop(number: int, _: FrameType | None) -> None:
        stopped.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return stopped
