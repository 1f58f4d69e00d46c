"""The LMM as one Ray Serve application: HTTP in front, ray.serve.llm's engines behind it, scaled by themselves.

serve run p2i_ray.serve.chat.app:build config=mini
python jobs/serve_lmm.py --config mini
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from p2i_ray.cluster import placement, resources
from p2i_ray.config.serve import ServeConfig, ServeJobConfig
from p2i_ray.serve.app import DRAINING_S, environment, read
from p2i_ray.serve.edge.draining import DrainableApp
from p2i_ray.serve.edge.tokens import Tokens

if TYPE_CHECKING:
    from ray.serve import Application
    from ray.serve.handle import DeploymentHandle
    from starlette.types import ASGIApp

FRONT = "LMMFront"


class ChatFront:
    """The HTTP side, as Serve's ingress."""

    def __init__(self, settings: ServeConfig, tokens: Tokens, engine: DeploymentHandle) -> None:
        self._settings, self._tokens, self._engine = settings, tokens, engine
        self._door: DrainableApp | None = None

    async def close(self, patience_s: float = DRAINING_S) -> int:
        """Let nobody in any more, and wait for those inside; returns how many there are still."""
        return await self._door.close(patience_s) if self._door else 0

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """What answers; Ray Serve asks for it in the replica."""
        from ray import serve

        from p2i_ray.serve.chat.client import ChatClient
        from p2i_ray.serve.chat.http_app import make_app

        application = serve.get_replica_context().app_name
        engines = ChatClient(self._engine, application, on_demand=self._settings.lmm.min_replicas == 0)
        self._door = DrainableApp(make_app(self._settings, engines, self._tokens))
        return self._door


def require(shop: ServeJobConfig) -> None:
    """Raises UserError if the cluster has too little for one engine."""
    placement.wait_for(*resources.chat(shop))


def build(args: Mapping[str, Any]) -> Application:
    """The application of a preset or file and settings laid over it, for `serve run` and Serve's config files.

    Args:
        args: `config`, a preset's name or a YAML file (none: mini), and settings, dotted. Host and port are Serve's
            own here: its http_options decide.

    Raises:
        UserError: a setting or the model can't be used; or no token is given, and nobody would see a new one.
    """
    return graph(*read(args))


def graph(shop: ServeJobConfig, tokens: Tokens) -> Application:
    """The deployments and how they are joined.

    Raises:
        UserError: the model can't be used.
    """
    from ray import serve

    from p2i_ray.serve.chat.deployment import deployment

    return (
        serve.deployment(serve.ingress()(ChatFront))
        .options(
            name=FRONT,
            ray_actor_options={**resources.FRONT.options(), "runtime_env": environment()},
            max_ongoing_requests=1_000_000,  # it limits itself, and must be there to say that it is busy
            graceful_shutdown_wait_loop_s=0.5,
            graceful_shutdown_timeout_s=DRAINING_S,
            max_constructor_retry_count=1,
            logging_config={"log_level": "WARNING", "enable_access_log": False},
        )
        .bind(shop.serve, tokens, deployment(shop))
    )
