"""The LMM as one Ray Serve application: HTTP in front, ray.serve.llm's engines behind it, each scaled by itself.

serve run p2i_ray.serve.chat.app:build config=mini
python jobs/serve_lmm.py --config mini
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from p2i_ray.cluster import serving
from p2i_ray.config.serve import ServeConfig, ServeJobConfig
from p2i_ray.judge.engines import model_folder
from p2i_ray.serve.edge.tokens import Tokens
from p2i_ray.serve.front import front, read_settings

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application
    from ray.serve.handle import DeploymentHandle


def build(args: Mapping[str, Any]) -> Application:
    """The application of a preset or file and settings laid over it, for `serve run` and Serve's config files.

    Args:
        args: see `front.read_settings`.

    Raises:
        UserError: a setting or the model can't be used; or no token is given, and a new one would stay unseen.
    """
    return graph(*read_settings(args))


def check(config: ServeJobConfig, tokens: Tokens) -> None:
    """See that the model can be used, before vLLM is imported, which takes a while.

    Raises:
        UserError: it can't.
    """
    model_folder.check(config.judge.model)


def graph(config: ServeJobConfig, tokens: Tokens) -> Application:
    """The deployments, bound together. Ray's builder of the engine's asks the cluster: one must be joined.

    Raises:
        UserError: the model can't be used.
    """
    check(config, tokens)
    from p2i_ray.serve.chat.deployment import deployment

    return front(
        "LMMFront",
        http_app,
        answer_s=config.serve.limits.answer_s,
        environment=serving.runtime_environment(),
        settings=config.serve,
        tokens=tokens,
        engine=deployment(config),
    )


def http_app(settings: ServeConfig, tokens: Tokens, engine: DeploymentHandle[Any]) -> FastAPI:
    """The HTTP application over the engines' handle; made in a replica of their application."""
    from ray import serve

    from p2i_ray.serve.chat.client import ChatClient
    from p2i_ray.serve.chat.http_app import make_app

    application = serve.get_replica_context().app_name
    client = ChatClient(engine, application, on_demand=settings.lmm.min_replicas == 0)
    return make_app(settings, client, tokens)
