"""The HTTP side of both applications as a Ray Serve deployment, and how an application reads its settings."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from p2i_ray.cluster import ray_internals, resources, serving
from p2i_ray.config import load
from p2i_ray.config.loading import flat
from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.errors import UserError
from p2i_ray.serve import drain
from p2i_ray.serve.edge.draining import DrainableApp
from p2i_ray.serve.edge.metrics import LOGGER, RecentLines

if TYPE_CHECKING:
    from ray.serve import Application
    from starlette.types import ASGIApp

    from p2i_ray.serve.edge.tokens import Tokens


class Front:
    """Serve's ingress around an ASGI application, which is made in the replica.

    Args:
        make_app: a module's function that makes the application.
        answer_s: longest time for a response, which those in flight are given when it is closed.
        arguments: its keyword arguments; deployments among them arrive as their handles.
    """

    def __init__(self, make_app: Callable[..., ASGIApp], answer_s: float, **arguments: Any) -> None:
        ray_internals.replica_on_loopback()
        self._make_app, self._answer_s, self._arguments = make_app, answer_s, arguments
        self._app: DrainableApp | None = None
        self._lines = RecentLines()

    def answer_s(self) -> float:
        """The longest time that `close` takes, seconds."""
        return self._answer_s

    async def close(self) -> int:
        """Refuse new requests and wait for those in flight; return how many are still unfinished."""
        return await self._app.close(self._answer_s) if self._app else 0

    def request_log(self, seen: int) -> tuple[int, list[str]]:
        """See `RecentLines.after`."""
        return self._lines.after(seen)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The application; Ray Serve calls this in the replica."""
        self._app = DrainableApp(self._make_app(**self._arguments))
        logging.getLogger(LOGGER).addHandler(self._lines)
        return self._app


def front(
    name: str, make_app: Callable[..., ASGIApp], *, answer_s: float, environment: dict[str, Any], **arguments: Any
) -> Application:
    """The front's deployment, bound to what its application is made of.

    Args:
        name: the deployment's.
        make_app: see `Front`.
        answer_s: see `Front`.
        environment: the replicas' runtime environment.
        arguments: see `Front`; applications bound into it become part of its graph.
    """
    from ray import serve

    options: dict[str, Any] = {
        "name": name,
        "ray_actor_options": {**resources.FRONT.options(), "runtime_env": environment},
        "max_ongoing_requests": 1_000_000,  # it limits itself, and must be there to say that it is busy
        "graceful_shutdown_wait_loop_s": 0.5,
        "graceful_shutdown_timeout_s": answer_s,
        "max_constructor_retry_count": 1,
        "logging_config": serving.QUIET,
    }
    return serving.deployment(serve.ingress()(Front), options).bind(make_app, answer_s=answer_s, **arguments)


def read_settings(args: Mapping[str, Any]) -> tuple[ServeJobConfig, Tokens]:
    """The settings and tokens of an application that `serve run` or Serve's config file starts.

    Args:
        args: `config`, a preset's name or a YAML file (none: mini), and settings, dotted (serve.max_batch_size=8) or as
            groups. Host and port are Serve's own here: its http_options decide.

    Raises:
        UserError: a setting is wrong; or no token is given, and a new one would stay unseen.
    """
    import ray

    from p2i_ray.serve.edge.tokens import Tokens

    if drain.in_serves_command():
        drain.before_interrupt()
    settings = [f"{key}={json.dumps(value) if not isinstance(value, str) else value}" for key, value in flat(args)]
    source = next((setting.removeprefix("config=") for setting in settings if setting.startswith("config=")), "mini")
    config = load(ServeJobConfig, source, [setting for setting in settings if not setting.startswith("config=")])
    tokens = Tokens.from_settings(config.serve)
    if tokens.made:
        if ray.is_initialized() and ray.get_runtime_context().worker.mode != ray.SCRIPT_MODE:  # print would be a log
            raise UserError(f"set {config.serve.token_env} or serve.token_file; a token made here would stay unseen")
        print(f"token: {tokens.made}  (made now, because {config.serve.token_env} and serve.token_file are not set)")
    return config, tokens
