"""Run Iterative Data Refinement end to end: judge, train, paint, criticise, again; then write the report.

    python jobs/idr.py --config mini
    python jobs/idr.py --config a100x4 run_dir=s3://bucket/runs/first data=s3://bucket/epbd
    ray job submit --working-dir . -- python jobs/idr.py --config mini run_dir=/shared/runs/mini
    python jobs/idr.py --config a100x4 --plan
    python jobs/idr.py --config mini --redo-from 2/train train.temperature=0.1

The same command after an interruption continues the run. With --redo-from finished steps are done anew, with all that
follows from them: STEP in every round, or ROUND/STEP. With --plan nothing is run: hours, price, and how much of the
time the GPUs would work are estimated, without Ray, GPUs, data or weights.
"""

from __future__ import annotations

import functools

from pydantic import Field

from p2i_ray import idr
from p2i_ray.cluster import connection, preflight
from p2i_ray.config import Config, Content, Runtime
from p2i_ray.config.planning import RunPlanConfig
from p2i_ray.console.cli import AlternativeAction, SettingFlag, main
from p2i_ray.data import preset_data, reading
from p2i_ray.evaluate import inception
from p2i_ray.judge.judge import Judge
from p2i_ray.report import build as report
from p2i_ray.run import disk_errors, lease, status, step_table
from p2i_ray.run.folder import Run
from p2i_ray.steps import checks, settings_check
from p2i_ray.steps.inputs import inputs_of
from p2i_ray.steps.overlap.engines import JudgeEngines
from p2i_ray.steps.overlap.overlap import overlapping
from p2i_ray.storage import locations


class PlanJob(Config):
    """What a forecast goes by."""

    run_dir: str | None = None  # as in a run's own command; it says nothing here
    data: str | None = None  # where it is there, its rows are counted
    plan: RunPlanConfig = RunPlanConfig()


class IdrJob(Config):
    """The loop's own keys."""

    run_dir: Runtime[str] = Field(
        description="run folder, a path or URI that all nodes reach; an interrupted run continues there"
    )
    redo_from: Runtime[str | None] = Field(
        None, exclude=True, description="finished steps to do anew; as --redo-from says it"
    )
    data: Content[str] = Field(description="EPBD folder, a path or URI")


def show_plan(job: PlanJob) -> None:
    """Print what the run would take."""
    from p2i_ray.planning import run_text

    settings_check.check(job)
    rows, dev_rows = job.plan.rows, job.plan.dev_rows
    if job.data and locations.exists(data := locations.absolute(job.data)):
        rows, dev_rows = reading.count(data, "train"), reading.count(data, job.idr.dev_split)
    print("\n".join(run_text.as_lines(job, job.plan, rows, dev_rows)))


def run(job: IdrJob) -> None:
    """Run the loop, or continue it, and write the report."""
    settings_check.check(job)
    preflight.check_readable(locations.absolute(job.data))
    data = preset_data.ready(job, job.data)
    checks.check(job, data, begun=status.is_run(job.run_dir))
    preflight.check_rights(*writes(job, job.run_dir))
    run_dir = locations.absolute(job.run_dir)
    with lease.held(locations.join(run_dir, lease.FILE)) as mine:
        inputs = inputs_of(job, data)
        work(Run.open(run_dir, job, inputs=inputs, redo_from=job.redo_from, lease=mine), data)


def work(folder: Run, data: str) -> None:
    """Run the loop, or continue it, in a folder that is this process's alone."""
    with disk_errors.explained(folder.dir), folder.attempt:
        try:
            page = refine(folder, data)
        except BaseException:
            folder.write_summary("stopped")
            raise
    print(folder.table())
    print(f"model   {folder.dir}/model")
    print(f"report  {page}")
    if account := folder.attempt.account():
        print(f"driver  {account.line()}")


def refine(folder: Run, data: str) -> str:
    """The loop on a cluster, and its report; the report's location."""
    config = folder.config
    cache = locations.join(folder.dir, "judge-cache")
    with folder.attempt.starting("Ray"):
        connection.connect(config.ray)
        preflight.check(step_table.phases(config), writes=writes(config, folder.dir), reads=reads(config, data))
    engines = functools.partial(folder.attempt.starting, "judge")
    with Judge(config.judge, config.image, config.seed, cache=cache, starting=engines) as judge:
        folder.observe(JudgeEngines(folder, judge))
        with overlapping(folder, data, judge):
            model = idr.refine(folder, data, judge)
    folder.publish(model)
    folder.attempt.flush()
    return report.write(folder.dir)


def writes(config: Config, run_dir: str) -> list[str]:
    """Where all nodes write."""
    return [run_dir, *(cache for cache in (config.judge.cache, config.features.cache) if cache)]


def reads(config: Config, data: str) -> list[str]:
    """What all nodes read: the data, and the models that there are."""
    models = [config.diffusion.base, config.diffusion.clip, config.evaluate.clip]
    if config.idr.judged and not config.judge.hosted.url:
        models.append(config.judge.model)
    if config.evaluate.fid_features == "inception":
        models.append(str(inception.weights()))
    return [data, *map(locations.absolute, models)]


PLAN = AlternativeAction("--plan", "print the hours and the price of the run instead of running it", PlanJob, show_plan)
REDO = SettingFlag("--redo-from", "redo_from", "do finished steps anew, and what follows from them: [ROUND/]STEP[,…]")

if __name__ == "__main__":
    main(IdrJob, __doc__, run, instead=[PLAN], flags=[REDO])
