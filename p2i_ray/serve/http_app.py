"""The generator's HTTP application: its routes and the objects behind them."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

from fastapi import Depends, FastAPI

from p2i_ray.config import GenerateConfig, ImageConfig
from p2i_ray.config.compositing import CompositingConfig
from p2i_ray.config.serve import ServeConfig
from p2i_ray.provenance.marker import Marker
from p2i_ray.serve.edge import errors, health
from p2i_ray.serve.edge.auth import Authenticator
from p2i_ray.serve.edge.limits import RequestLimits
from p2i_ray.serve.edge.metrics import LOGGER, HTTPMetrics, log_to
from p2i_ray.serve.edge.quota import Quota
from p2i_ray.serve.edge.tokens import Tokens
from p2i_ray.serve.images.acceptance import Assessor
from p2i_ray.serve.images.decoding import Cutter, ImageDecoder
from p2i_ray.serve.images.label import LabelReader
from p2i_ray.serve.images.marketplaces import MARKETPLACES
from p2i_ray.serve.images.params import EditRules, OwnGenerators
from p2i_ray.serve.images.protocol import Ranker, Sampler, StyleRanker
from p2i_ray.serve.images.routes import ImageRoutes
from p2i_ray.serve.images.service import ImageService
from p2i_ray.serve.images.threads import StageThreads
from p2i_ray.serve.jobs.intake import JobIntake
from p2i_ray.serve.jobs.progress import state
from p2i_ray.serve.jobs.routes import JobRoutes
from p2i_ray.serve.jobs.runner import JobRunner
from p2i_ray.serve.jobs.store import JobStore
from p2i_ray.serve.jobs.submission import SubmissionReader
from p2i_ray.serve.jobs.webhook import Webhooks, signing_secrets
from p2i_ray.serve.page import routes
from p2i_ray.serve.page.routes import Offers

JOBS = "/v1/jobs"
QUOTE = f"{JOBS}/quote"
LARGE = (JOBS, QUOTE)  # paths whose body is a job's


def make_app(
    settings: ServeConfig,
    image: ImageConfig,
    generate: GenerateConfig,
    *,
    sampler: Sampler,
    judge: Ranker | None,
    cutter: Cutter | None,
    tokens: Tokens,
    generators: OwnGenerators | None = None,
    styles: StyleRanker | None = None,
    marker: Marker | None = None,
    reader: LabelReader | None = None,
    compositing: CompositingConfig | None = None,
    environment: Mapping[str, str] = os.environ,
) -> FastAPI:
    """The application. Its lifespan runs the batch jobs; without one (`lifespan="off"`) they wait.

    Args:
        settings: limits, names and folders.
        image: the sizes of size=auto, and of a ratio.
        generate: steps, guidance and soft edge where a request names none.
        sampler: paints; called concurrently.
        judge: ranks the candidates of best_of; none: best_of is refused.
        cutter: photo (H, W, 3) to product mask (H, W), raising ImageError where it finds no product; none: a photo
            alone is refused.
        tokens: bearer tokens that clients may use.
        generators: that the sampler has beside its model; none: it has none.
        styles: ranks candidates of requests with a reference, beside the judge; none: the judge alone does.
        marker: encodes pictures with their marks; none: they have none.
        reader: reads products' labels; none: they are not read.
        compositing: shadow and light where a request names none; none: the defaults.
        environment: has the secrets that sign webhooks, where settings allow any.

    Raises:
        UserError: settings.jobs is not a folder that can be written; or webhooks are allowed that nothing signs.
    """
    if not logging.getLogger(LOGGER).handlers:
        log_to()
    metrics = HTTPMetrics()
    metrics.include(getattr(sampler, "metrics", ()))
    authenticator = Authenticator(tokens, settings.limits)
    decoder = ImageDecoder(settings.limits, image, cutter)
    threads = StageThreads(metrics)
    assessor = Assessor(
        limits=settings.truth,
        judge=judge,
        reader=reader,
        tolerated=settings.tolerated_flaws,
        threads=threads,
        metrics=metrics,
    )
    service = ImageService(
        decoder=decoder,
        sampler=sampler,
        judge=judge,
        assessor=assessor,
        styles=styles,
        marker=marker,
        threads=threads,
        metrics=metrics,
        answer_s=settings.limits.answer_s,
    )
    names = (settings.model_name, *settings.model_aliases)
    rules = EditRules(
        limits=settings.limits,
        image=image,
        generate=generate,
        model_names=names,
        judged=judge is not None,
        generators=generators or OwnGenerators(),
        compositing=compositing or CompositingConfig(),
        truth=settings.truth,
    )
    store = JobStore(settings.jobs)
    quota = Quota(store.usage, settings.quotas.pictures_per_day, failed=metrics.failure)
    signing = signing_secrets(settings.webhooks, environment)
    jobs = _jobs(settings, store, service, rules, sampler=sampler, metrics=metrics, quota=quota, signing=signing)
    edits = ImageRoutes(
        service=service, decoder=decoder, authenticator=authenticator, rules=rules, metrics=metrics, quota=quota
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with jobs.runner:
            yield

    app = FastAPI(title=settings.model_name, docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.router.redirect_slashes = False
    errors.install(app)
    app.add_middleware(
        RequestLimits, limits=settings.limits, metrics=metrics, large=LARGE, hosts=settings.allowed_hosts
    )

    health.install(
        app,
        authenticator=authenticator,
        metrics=metrics,
        is_ready=sampler.ready,
        model_names=names,
    )
    _add_routes(app, edits=edits, jobs=jobs, quota=quota, authenticator=authenticator)
    routes.install(app, offers=_offers(rules, image))
    return app


def _add_routes(
    app: FastAPI, *, edits: ImageRoutes, jobs: JobRoutes, quota: Quota, authenticator: Authenticator
) -> None:
    """Add the routes of images, usage and batch jobs; those that take pictures count against a client's rate."""
    known, limited = [Depends(authenticator.authenticated)], [Depends(authenticator.rate_limited)]
    app.add_api_route("/v1/images/edits", edits.edit, methods=["POST"], dependencies=limited)
    app.add_api_route("/v1/cutouts", edits.cutout, methods=["POST"], dependencies=limited)
    app.add_api_route("/v1/usage", quota.answer, methods=["GET"], dependencies=known)
    app.add_api_route(JOBS, jobs.submit, methods=["POST"], dependencies=limited)
    app.add_api_route(QUOTE, jobs.quote, methods=["POST"], dependencies=limited)
    app.add_api_route(JOBS, jobs.own, methods=["GET"], dependencies=known)
    app.add_api_route(f"{JOBS}/{{job}}", jobs.progress, methods=["GET"], dependencies=known)
    app.add_api_route(f"{JOBS}/{{job}}/result", jobs.result, methods=["GET"], dependencies=known)
    app.add_api_route(f"{JOBS}/{{job}}/pause", jobs.pause, methods=["POST"], dependencies=known)
    app.add_api_route(f"{JOBS}/{{job}}/resume", jobs.resume, methods=["POST"], dependencies=known)
    app.add_api_route(f"{JOBS}/cancel", jobs.cancel_by_key, methods=["POST"], dependencies=known)
    app.add_api_route(f"{JOBS}/{{job}}/cancel", jobs.cancel, methods=["POST"], dependencies=known)
    app.add_api_route(f"{JOBS}/{{job}}", jobs.delete, methods=["DELETE"], dependencies=known)


def _offers(rules: EditRules, image: ImageConfig) -> Offers:
    """The service's offers to the page."""
    own = rules.generators
    return Offers(
        judged=rules.judged,
        styled=own.personality,
        by_category=own.category,
        categories=own.categories,
        marketplaces=MARKETPLACES,
        shapes=[size.aspect for size in image.sizes] if len(image.sizes) > 1 else (),
    )


def _jobs(
    settings: ServeConfig,
    store: JobStore,
    service: ImageService,
    rules: EditRules,
    *,
    sampler: Sampler,
    metrics: HTTPMetrics,
    quota: Quota,
    signing: list[bytes],
) -> JobRoutes:
    """The batch jobs' routes, with what takes and paints them."""
    workers = settings.job_workers
    webhooks = Webhooks(
        store,
        settings.webhooks,
        secrets=signing,
        state=partial(state, store=store, workers=workers),
        metrics=metrics,
    )
    runner = JobRunner(
        store, service, rules, metrics, quota=quota, webhooks=webhooks, workers=workers, days=settings.job_days
    )
    reader = SubmissionReader(rules, settings.limits)
    intake = JobIntake(store, reader, sampler=sampler, quota=quota, webhooks=webhooks, settings=settings)
    return JobRoutes(store, runner, intake, workers=workers)
