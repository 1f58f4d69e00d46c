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

from pydantic import Field

from p2i_ray import idr_run
from p2i_ray.cluster import preflight
from p2i_ray.config import Config, Runtime
from p2i_ray.config.planning import RunPlanConfig
from p2i_ray.console.cli import AlternativeAction, SettingFlag, main
from p2i_ray.data import preset_data, reading
from p2i_ray.idr_run import RunConfig
from p2i_ray.steps import settings_check
from p2i_ray.storage import locations


class PlanJob(Config):
    """Settings that a forecast goes by."""

    run_dir: str | None = None  # as in a run's own command; it says nothing here
    data: str | None = None  # where it is there, its rows are counted
    plan: RunPlanConfig = RunPlanConfig()


class IdrJob(RunConfig):
    """The loop's own keys."""

    redo_from: Runtime[str | None] = Field(
        None, exclude=True, description="finished steps to do anew; as --redo-from says it"
    )


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
    idr_run.check(job, job.run_dir, data)
    with idr_run.opened(job, job.run_dir, data, job.redo_from) as folder:
        page = idr_run.refine(folder, data)
    print(folder.table())
    print(f"model   {folder.dir}/model")
    print(f"report  {page}")
    if account := folder.attempt.account():
        print(f"driver  {account.line()}")


PLAN = AlternativeAction("--plan", "print the hours and the price of the run instead of running it", PlanJob, show_plan)
REDO = SettingFlag("--redo-from", "redo_from", "do finished steps anew, and what follows from them: [ROUND/]STEP[,…]")

if __name__ == "__main__":
    main(IdrJob, __doc__, run, instead=[PLAN], flags=[REDO])
