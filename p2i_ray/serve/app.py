"""The generator service as one Ray Serve application: HTTP in front, the sampler and the judge behind it.

Each of the three scales by itself.

serve run p2i_ray.serve.app:build config=mini serve.max_batch_size=8
serve run docs/serve-mini.yaml
python jobs/serve.py --config mini
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2i_ray.cluster import serving
from p2i_ray.config import JudgeConfig
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.data.images import Pixels
from p2i_ray.errors import UserError
from p2i_ray.serve.front import front, read_settings
from p2i_ray.storage import locations

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application
    from ray.serve.handle import DeploymentHandle

    from p2i_ray.provenance.marks import Marks
    from p2i_ray.serve.edge.tokens import Tokens
    from p2i_ray.serve.guidance import ModelGuidance
    from p2i_ray.serve.images.params import OwnGenerators


log = logging.getLogger(__name__)


def build(args: Mapping[str, Any]) -> Application:
    """The application of a preset or file and settings laid over it, for `serve run` and Serve's config files.

    Args:
        args: see `front.read_settings`.

    Raises:
        UserError: a setting, the model or the judge can't be used.
    """
    return graph(*read_settings(args))


def graph(config: ServeJobConfig, tokens: Tokens) -> Application:
    """The deployments, bound together.

    Args:
        config: settings.
        tokens: bearer tokens that clients may use.

    Raises:
        UserError: the model or the judge can't be used.
    """
    from p2i_ray.diffusion.model import validation
    from p2i_ray.diffusion.model.fingerprint import of_models
    from p2i_ray.generators.painting import GeneratorPainting
    from p2i_ray.provenance.marks import checked
    from p2i_ray.serve.jobs.webhook import signing_secrets
    from p2i_ray.serve.sampler import deployment
    from p2i_ray.serve.sampler.replica import SamplerReplica

    signing_secrets(config.serve.webhooks, os.environ)  # the front reads its own environment; this says it early
    model = _model(config)
    generators = config.generators
    if generators.category is None and generators.personality is None:
        validation.check_model(model, config.image, config.diffusion.widen)
        validation.check_prompt(model, config.diffusion)
    else:
        painting = GeneratorPainting(config.diffusion, generators).anywhere()
        painting.check(model, config.image)
        generators = painting.settings
    environment = serving.runtime_environment()
    sampler = serving.deployment(SamplerReplica, deployment.options(config.serve, environment)).bind(
        model=model,
        settings=config.serve,
        diffusion=config.diffusion,
        generate=config.generate,
        image=config.image,
        generators=generators,
        clip=_style_clip(config),
    )
    judge = _judge(config, environment) if config.serve.judge else None
    jobs = _absolute(config.serve.jobs)  # replicas have working directories of their own
    settings = config.model_copy(
        update={"serve": config.serve.model_copy(update={"jobs": jobs}), "generators": generators}
    )
    return front(
        "Front",
        http_app,
        answer_s=config.serve.limits.answer_s,
        environment=environment,
        config=settings,
        tokens=tokens,
        sampler=sampler,
        judge=judge,
        marks=checked(config.provenance, of_models(model, *generators.folders.values())),
    )


def http_app(
    config: ServeJobConfig,
    tokens: Tokens,
    sampler: DeploymentHandle[Any],
    judge: DeploymentHandle[Any] | None,
    *,
    marks: Marks,
) -> FastAPI:
    """The HTTP application over the handles of the sampler and the judge, with what its pictures are marked with."""
    from p2i_ray.serve.http_app import make_app
    from p2i_ray.serve.images.label import RapidOCRReader
    from p2i_ray.serve.judge_client import JudgeClient
    from p2i_ray.serve.sampler.client import SamplerClient

    ranker = None
    if judge is not None:
        settings, limits = _judge_settings(config), config.serve.limits
        ranker = JudgeClient(
            judge,
            settings,
            config.image,
            limits.answer_s,
            guidance=_guidance(config, settings),
            compared=config.serve.compared,
        )
    client, own = SamplerClient(sampler, config.serve), _own_generators(config.generators)
    return make_app(
        config.serve,
        config.image,
        config.generate,
        sampler=client,
        judge=ranker,
        cutter=cut,
        tokens=tokens,
        generators=own,
        styles=client if own.personality else None,
        marker=marks.marker(),
        reader=RapidOCRReader() if config.serve.truth.read_text else None,
        compositing=config.compositing,
    )


def cut(photo: Pixels) -> Pixels:
    """The product's mask (H, W) in a photo (H, W, 3); raises ImageError where none is found."""
    from p2i_ray.data.cutouts.grabcut import find_product
    from p2i_ray.data.cutouts.settings import CutoutConfig

    return find_product(photo, CutoutConfig()).mask


def _own_generators(settings: GeneratorsConfig) -> OwnGenerators:
    """The service's generators, as requests know them; their folders have been checked."""
    from p2i_ray.serve.images.params import OwnGenerators

    personality = settings.personality is not None
    if settings.category is None:
        return OwnGenerators(personality=personality)
    from p2i_ray.generators import record_file

    known = record_file.categories(settings.category)
    stand_in = partial(known.stand_in, unknown=settings.unknown_category)
    names = tuple(category.name for category in known.all)
    return OwnGenerators(category=True, personality=personality, categories=names, stand_in=stand_in)


def _guidance(config: ServeJobConfig, judge: JudgeConfig) -> ModelGuidance | None:
    """The guidance that the judge of the model's run has learned; none where it is not to be used."""
    from p2i_ray.serve.guidance import ModelGuidance

    if not config.serve.sharpened:
        return None
    interval_s = config.serve.reload_interval_s
    return ModelGuidance(_model(config), config.image, judge.max_name_chars, interval_s=interval_s)


def _model(config: ServeJobConfig) -> str:
    """The model's folder, made absolute without following links: a link that is pointed elsewhere is a new model."""
    return _absolute(config.serve.model or config.diffusion.base)


def _style_clip(config: ServeJobConfig) -> str | None:
    """The CLIP that ranks by style; none where nothing is ranked so."""
    from p2i_ray.encoders import weight_files

    if config.generators.personality is None or not config.serve.judge:
        return None
    clip = _absolute(config.evaluate.clip)
    if not locations.exists(locations.join(clip, "config.json")):
        raise UserError(
            f"evaluate.clip={clip}, which ranks the candidates of best_of by style, is no transformers CLIP folder (no "
            "config.json); check the path, or set serve.judge=false"
        )
    weight_files.find(clip, weight_files.TRANSFORMERS, setting="evaluate.clip").tensors()
    return clip


def _judge(config: ServeJobConfig, environment: dict[str, Any]) -> Application:
    from p2i_ray.judge import guidance, length_check
    from p2i_ray.judge.engines import model_folder
    from p2i_ray.judge.engines.openai.client import OpenAIEngine
    from p2i_ray.judge.engines.vllm.replica import VLLMEngine
    from p2i_ray.judge.guidance import Guidance
    from p2i_ray.judge.request_lengths import Asked
    from p2i_ray.judge.requests import exemplars
    from p2i_ray.judge.requests.prompts import load_prompts
    from p2i_ray.serve import judge_client

    judge = _judge_settings(config)
    load_prompts(judge.prompts, reasoned=True)
    learned, own = Guidance(), exemplars.from_settings(judge, config.image)
    if config.serve.sharpened:
        learned, shown = guidance.read(_model(config), config.image, judge.max_name_chars)
        own = shown or own
        name = guidance.short_name(judge.model)
        if learned.judge and learned.judge != name:
            log.warning(
                "the model's guidance is of the judge %s, and %s serves: what one has learned may not help the other; "
                "serve.sharpened=false leaves it out",
                learned.judge,
                name,
            )
    asked = Asked(exemplars=own, feedback=learned.feedback, critiques=True, compared=config.serve.compared > 1)
    # A candidate is always scored with a reason, and without the cutout.
    length_check.check(judge.model_copy(update={"reasoned": True, "show_cutout": False}), config.image, asked)
    if not judge.hosted.url:
        judge = judge.model_copy(update={"model": model_folder.check(judge.model)})
    engine: type = OpenAIEngine if judge.hosted.url else VLLMEngine
    options = judge_client.options(config.serve, judge, environment)
    deployment = serving.deployment(engine, options)
    return deployment.bind(settings=judge, limits=config.image, seed=config.seed, application="judge")


def _judge_settings(config: ServeJobConfig) -> JudgeConfig:
    """The judge's settings with paths that hold in any working directory."""
    judge = config.judge
    paths = {key: _absolute(path) for key in ("prompts", "exemplars") if (path := getattr(judge, key))}
    return judge.model_copy(update=paths)


def _absolute(location: str) -> str:
    return location if locations.is_uri(location) else str(Path(location).expanduser().absolute())
