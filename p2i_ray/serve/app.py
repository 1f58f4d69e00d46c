"""The shop as one Ray Serve application: HTTP in front, the painter and the judge behind it, each scaled by itself.

serve run p2i_ray.serve.app:build config=mini serve.max_batch_size=8
serve run docs/serve-mini.yaml
python jobs/serve.py --config mini
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2i_ray.cluster import resources
from p2i_ray.config import JudgeConfig, load
from p2i_ray.config.environment import ENVIRONMENT
from p2i_ray.config.loading import flat
from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.data.images import Pixels
from p2i_ray.errors import UserError
from p2i_ray.serve.edge.draining import DrainableApp
from p2i_ray.storage import locations

if TYPE_CHECKING:
    from ray.serve import Application
    from ray.serve.handle import DeploymentHandle
    from starlette.types import ASGIApp

    from p2i_ray.serve.edge.tokens import Tokens

    MakeApp = Callable[..., ASGIApp]

DRAINING_S = 30.0  # longest time that the front waits for its last requests when it is stopped


def build(args: Mapping[str, Any]) -> Application:
    """The application of a preset or file and settings laid over it, for `serve run` and Serve's config files.

    Args:
        args: `config`, a preset's name or a YAML file (none: mini), and settings, dotted (serve.max_batch_size=8) or as
            groups. Host and port are Serve's own here: its http_options decide.

    Raises:
        UserError: a setting, the model or the judge can't be used.
    """
    return graph(*read(args))


def read(args: Mapping[str, Any]) -> tuple[ServeJobConfig, Tokens]:
    """The settings and tokens that `serve run` was given; see `build`.

    Raises:
        UserError: a setting is wrong; or no token is given, and nobody would see a new one.
    """
    import ray

    from p2i_ray.serve.edge.tokens import Tokens

    settings = [f"{key}={json.dumps(value) if not isinstance(value, str) else value}" for key, value in flat(args)]
    source = next((setting.removeprefix("config=") for setting in settings if setting.startswith("config=")), "mini")
    shop = load(ServeJobConfig, source, [setting for setting in settings if not setting.startswith("config=")])
    tokens = Tokens.from_settings(shop.serve)
    if tokens.made:
        if ray.is_initialized() and ray.get_runtime_context().worker.mode != ray.SCRIPT_MODE:  # print would be a log
            raise UserError(f"set {shop.serve.token_env} or serve.token_file; a token made here would stay unseen")
        print(f"token: {tokens.made}  (made now, because {shop.serve.token_env} and serve.token_file are not set)")
    return shop, tokens


def graph(
    shop: ServeJobConfig, tokens: Tokens, make_app: MakeApp | None = None, engine: type | None = None
) -> Application:
    """The deployments and how they are joined.

    Args:
        shop: settings.
        tokens: who may ask.
        make_app: makes the HTTP application (none: http.app.make_app).
        engine: the class of the judge's replicas (none: what the settings say).

    Raises:
        UserError: the model or the judge can't be used.
    """
    from ray import serve

    from p2i_ray.diffusion.model import validation
    from p2i_ray.serve.sampler import deployment

    # Made absolute without following links: a link that is pointed elsewhere is a new model.
    model = _placed(shop.serve.model or shop.diffusion.base)
    validation.check_model(model, shop.image.resolution, shop.diffusion.widen)
    around = environment()
    sampler = (
        serve.deployment(deployment.SamplerReplica)
        .options(**deployment.options(shop.serve, around))
        .bind(model, shop.serve, shop.diffusion, shop.generate, shop.image)
    )
    judge = _judging(shop, around, engine) if shop.serve.judge else None
    jobs = _placed(shop.serve.jobs)  # replicas have working directories of their own
    placed = shop.model_copy(update={"serve": shop.serve.model_copy(update={"jobs": jobs})})
    return (
        serve.deployment(serve.ingress()(Front))
        .options(
            name="Front",
            ray_actor_options={**resources.FRONT.options(), "runtime_env": around},
            max_ongoing_requests=1_000_000,  # it limits itself, and must be there to say that it is busy
            graceful_shutdown_wait_loop_s=0.5,
            graceful_shutdown_timeout_s=DRAINING_S,
            max_constructor_retry_count=1,
            logging_config={"log_level": "WARNING", "enable_access_log": False},
        )
        .bind(placed, tokens, sampler, judge, make_app)
    )


class Front:
    """The HTTP side, as Serve's ingress."""

    def __init__(
        self,
        shop: ServeJobConfig,
        tokens: Tokens,
        sampler: DeploymentHandle,
        judge: DeploymentHandle | None,
        make_app: MakeApp | None,
    ) -> None:
        self._shop, self._tokens, self._make_app = shop, tokens, make_app
        self._sampler, self._judge = sampler, judge
        self._door: DrainableApp | None = None

    async def close(self, patience_s: float = DRAINING_S) -> int:
        """Let nobody in any more, and wait for those inside; returns how many there are still."""
        return await self._door.close(patience_s) if self._door else 0

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """What answers; Ray Serve asks for it in the replica."""
        from p2i_ray.serve.http_app import make_app
        from p2i_ray.serve.sampler.client import SamplerClient

        shop = self._shop
        judge = None
        if self._judge is not None:
            from p2i_ray.serve.judge_client import JudgeClient

            judge = JudgeClient(self._judge, _judge_settings(shop), shop.image, shop.serve.limits.answer_s)
        sampler = SamplerClient(self._sampler, shop.serve)
        make = self._make_app or make_app
        self._door = DrainableApp(make(shop.serve, shop.image, shop.generate, sampler, judge, cut, self._tokens))
        return self._door


def cut(photo: Pixels) -> Pixels:
    """The product's mask (H, W) in a photo (H, W, 3); raises ImageError where none is found."""
    from p2i_ray.data.cutouts.grabcut import CutoutConfig, find_product

    return find_product(photo, CutoutConfig())


def _judging(shop: ServeJobConfig, environment: dict[str, Any], engine: type | None) -> Application:
    from ray import serve

    from p2i_ray.judge.engines import model_folder
    from p2i_ray.judge.engines.openai.client import OpenAIEngine
    from p2i_ray.judge.engines.vllm.replica import VLLMEngine
    from p2i_ray.judge.requests import exemplars
    from p2i_ray.judge.requests.prompts import load_prompts
    from p2i_ray.serve import judge_client

    judge = _judge_settings(shop)
    load_prompts(judge.prompts, reasoned=True)
    exemplars.given(judge, shop.image)
    if not judge.hosted.url:
        judge = judge.model_copy(update={"model": model_folder.check(judge.model)})
    kind = engine or (OpenAIEngine if judge.hosted.url else VLLMEngine)
    options = judge_client.options(shop.serve, judge, environment)
    return serve.deployment(kind).options(**options).bind(judge, shop.image, shop.seed, "judge", None)


def _judge_settings(shop: ServeJobConfig) -> JudgeConfig:
    """The judge's settings with places that hold in any working directory."""
    judge = shop.judge
    places = {key: _placed(place) for key in ("prompts", "exemplars") if (place := getattr(judge, key))}
    return judge.model_copy(update=places)


def _placed(location: str) -> str:
    return location if locations.is_uri(location) else str(Path(location).expanduser().absolute())


def environment() -> dict[str, Any]:
    """The runtime environment of all replicas: they don't inherit the driver's."""
    import ray

    found = dict(ray.get_runtime_context().runtime_env) if ray.is_initialized() else {}
    root = str(Path(__file__).parents[2])
    return {**found, "env_vars": {**ENVIRONMENT, "PYTHONPATH": root, **found.get("env_vars", {})}}
