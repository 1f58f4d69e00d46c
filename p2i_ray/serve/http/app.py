"""The generator's HTTP application: what there is at which address."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

from p2i_ray.config import GenerateConfig, ImageConfig
from p2i_ray.config.serve import ServeConfig
from p2i_ray.serve.http import faults, pages, standing
from p2i_ray.serve.http.access import Tokens
from p2i_ray.serve.http.asks import Rules
from p2i_ray.serve.http.bounds import Bounds
from p2i_ray.serve.http.edits import Edits
from p2i_ray.serve.http.guard import Guard
from p2i_ray.serve.http.intake import Cutter, Intake
from p2i_ray.serve.http.studio import Studio
from p2i_ray.serve.http.tasks.routes import Jobs
from p2i_ray.serve.http.tasks.runner import Runner
from p2i_ray.serve.http.tasks.store import Store
from p2i_ray.serve.http.watch import LOGGER, Watch, log_to
from p2i_ray.serve.orders import Judge, Painter

JOBS = "/v1/jobs"


def make_app(
    settings: ServeConfig,
    image: ImageConfig,
    generate: GenerateConfig,
    painter: Painter,
    judge: Judge | None,
    cutter: Cutter | None,
    tokens: Tokens,
) -> FastAPI:
    """The application. Its lifespan runs the batch jobs; without one (`lifespan="off"`) they wait.

    Args:
        settings: limits, names and folders.
        image: the resolution of size=auto.
        generate: steps, guidance and soft edge where a request names none.
        painter: paints; asked by many at once.
        judge: ranks the candidates of best_of; none: best_of is refused.
        cutter: photo (H, W, 3) to product mask (H, W), raising ImageError where it finds no product; none: a photo
            alone is refused.
        tokens: who may ask.

    Raises:
        UserError: settings.jobs is not a folder that can be written.
    """
    if not logging.getLogger(LOGGER).handlers:
        log_to()
    watch = Watch()
    watch.include(getattr(painter, "metrics", ()))
    guard = Guard(tokens, settings.limits)
    intake = Intake(settings.limits, image, cutter)
    studio = Studio(settings.limits, intake, painter, judge, watch)
    rules = Rules(settings.limits, image, generate, settings.model_name, judged=judge is not None)
    store = Store(settings.jobs)
    runner = Runner(store, studio, rules, watch, settings.job_workers, settings.job_days)
    edits = Edits(studio, intake, guard, rules, watch)
    jobs = Jobs(store, runner, rules, settings.limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with runner:
            yield

    app = FastAPI(title=settings.model_name, docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.router.redirect_slashes = False
    faults.install(app)
    app.add_middleware(Bounds, limits=settings.limits, watch=watch, large=(JOBS,))

    known, paced = [Depends(guard.known)], [Depends(guard.paced)]
    standing.install(app, guard, watch, painter.ready, settings.model_name)
    app.add_api_route("/v1/images/edits", edits.edit, methods=["POST"], dependencies=paced)
    app.add_api_route("/v1/cutouts", edits.cutout, methods=["POST"], dependencies=paced)
    app.add_api_route(JOBS, jobs.submit, methods=["POST"], dependencies=paced)
    app.add_api_route(f"{JOBS}/{{job}}", jobs.progress, methods=["GET"], dependencies=known)
    app.add_api_route(f"{JOBS}/{{job}}/result", jobs.result, methods=["GET"], dependencies=known)
    app.add_api_route(f"{JOBS}/{{job}}", jobs.cancel, methods=["DELETE"], dependencies=known)
    pages.install(app)
    return app
