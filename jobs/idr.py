"""Run Iterative Data Refinement end to end: judge, train, paint, criticise, again; then write the report.

    python jobs/idr.py --config mini
    python jobs/idr.py --config a100x4 run_dir=s3://bucket/runs/first data=s3://bucket/epbd
    ray job submit --working-dir . -- python jobs/idr.py --config mini run_dir=/shared/runs/mini

The same command after an interruption continues the run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pydantic import Field

sys.path.insert(0, str(Path(__file__).parents[1]))

from p2i_ray import cluster, idr, storage
from p2i_ray.cli import main
from p2i_ray.config import Config
from p2i_ray.errors import UserError
from p2i_ray.lmm.judge import Judge
from p2i_ray.report import run as report
from p2i_ray.runs import Run


class IdrJob(Config):
    """The loop's own keys."""

    run_dir: str = Field(
        description="run folder, a path or URI that all nodes reach; an interrupted run continues there"
    )
    data: str = Field(description="EPBD folder, a path or URI")


def run(job: IdrJob) -> None:
    idr.check(job)
    data = storage.absolute(job.data)
    prepare(job, data)
    folder = Run.open(job.run_dir, job)
    cluster.connect(job.ray)
    try:
        with Judge(job.judge, job.image, job.seed, storage.join(folder.dir, "judge-cache")) as judge:
            model = idr.refine(folder, data, judge)
    except BaseException:
        folder.write_summary("stopped")
        raise
    folder.publish(model)
    print(folder.table())
    print(f"model   {folder.dir}/model")
    print(f"report  {report.write(folder.dir)}")


def prepare(job: IdrJob, data: str) -> None:
    """Make the data with the preset's module, where the preset names one and there are none."""
    if storage.exists(data):
        return
    if not job.prepare:
        raise UserError(f"data {data} is not there; jobs/ingest.py makes such a folder from photos")
    print(f"making {data}", flush=True)
    subprocess.run([sys.executable, "-m", job.prepare, "--out", data], check=True, cwd=Path(__file__).parents[1])


if __name__ == "__main__":
    main(IdrJob, __doc__, run)
