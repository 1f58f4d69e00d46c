"""A whole run of the loop in its folder, on a cluster: opened, refined, published and reported."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pydantic import Field

from p2i_ray import idr
from p2i_ray.cluster import connection, preflight
from p2i_ray.config import Config, Content, Runtime
from p2i_ray.evaluate import inception
from p2i_ray.judge import held_out
from p2i_ray.judge.judge import Judge
from p2i_ray.report import build as report
from p2i_ray.run import continuation, disk_errors, lease, status, step_table
from p2i_ray.run.folder import Run
from p2i_ray.run.inputs import RunInputs
from p2i_ray.steps import checks, learned
from p2i_ray.steps.inputs import inputs_of
from p2i_ray.steps.overlap.engines import JudgeEngines
from p2i_ray.steps.overlap.overlap import overlapping
from p2i_ray.storage import locations


class RunConfig(Config):
    """The settings of a run."""

    run_dir: Runtime[str] = Field(
        description="run folder, a path or URI that all nodes reach; an interrupted run continues there"
    )
    data: Content[str] = Field(description="EPBD folder, a path or URI")


def check(config: Config, run_dir: str, data: str) -> None:
    """Find before anything is started what would end the run later.

    Args:
        config: its settings, which `steps.settings_check.check` found to fit together.
        run_dir: its folder, which may not be there yet.
        data: location of the EPBD folder.

    Raises:
        UserError: of data, models or rights; the line says what, and what to do.
    """
    checks.check(config, data, begun=status.is_run(run_dir))
    preflight.check_rights(*writes(config, run_dir))


def check_begun(config: Config, run_dir: str, data: str, ways_out: str) -> None:
    """Check that a run that is there, finished or not, was made with these settings and with what they name.

    Args:
        config: its settings.
        run_dir: its folder.
        data: location of the EPBD folder.
        ways_out: what to do where it was not.

    Raises:
        UserError: it was made otherwise; the line names in what.
    """
    continuation.check(run_dir, config, RunInputs(run_dir, inputs_of(config, data)), ways_out)


@contextmanager
def opened(config: Config, run_dir: str, data: str, redo_from: str | None = None) -> Iterator[Run]:
    """The run's folder, which is this process's alone within the block; there it is refined.

    Raises:
        UserError: another driver works on it, or what is there was made with other settings.
    """
    run_dir = locations.absolute(run_dir)
    with lease.held(locations.join(run_dir, lease.FILE)) as mine:
        inputs = inputs_of(config, data)
        folder = Run.open(run_dir, config, inputs=inputs, redo_from=redo_from, lease=mine)
        with disk_errors.explained(folder.dir), folder.attempt:
            try:
                yield folder
            except BaseException:
                folder.write_summary("stopped")
                raise


def refine(folder: Run, data: str, judge: Judge | None = None) -> str:
    """Run the loop on a cluster, or continue it, and write its report; returns the report's location.

    Args:
        folder: of the run, opened.
        data: location of the EPBD folder.
        judge: whose engines others use, too, and who stops them (none: one of its own, for the run's time).
    """
    config = folder.config
    with folder.attempt.starting("Ray"):
        connection.connect(config.ray)
        preflight.check(step_table.phases(config), writes=writes(config, folder.dir), reads=reads(config, data))
    with ExitStack() as stack:
        asked = judge or stack.enter_context(_judge_of(folder))
        other = held_out.make(config, _cache(folder), functools.partial(folder.attempt.starting, "held-out judge"))
        if other is not None:
            stack.enter_context(other)
        folder.observe(JudgeEngines(folder, asked))
        with overlapping(folder, data, asked):
            model = idr.refine(folder, data, asked, other)
    folder.publish(model, also=learned.files_of(folder))
    folder.attempt.flush()
    return report.write(folder.dir)


def _judge_of(folder: Run) -> Judge:
    config = folder.config
    starting = functools.partial(folder.attempt.starting, "judge")
    return Judge(config.judge, config.image, config.seed, cache=_cache(folder), starting=starting)


def _cache(folder: Run) -> str:
    return locations.join(folder.dir, "judge-cache")


def writes(config: Config, run_dir: str) -> list[str]:
    """Locations that all nodes write to."""
    return [run_dir, *(cache for cache in (config.judge.cache, config.features.cache) if cache)]


def reads(config: Config, data: str) -> list[str]:
    """Locations that all nodes read: the data, and the models that there are."""
    models = [config.diffusion.base, config.diffusion.clip, config.evaluate.clip]
    judges = [config.judge, config.held_out_judge] if config.idr.judged else []
    models += [one.model for one in judges if one and not one.hosted.url]
    if config.evaluate.fid_features == "inception":
        models.append(str(inception.weights()))
    return [data, *map(locations.absolute, models)]
