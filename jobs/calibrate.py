"""Calibrate the judge: compare its scores with people's, and check it on rows whose score must change or must not.

    python jobs/calibrate.py --config mini data=data/mini out=runs/mini-calibration calibration.rows=200
    python jobs/calibrate.py --config mini data=data/mini out=runs/gold calibration.gold=gold.csv

Without gold (calibration.rows): another product's picture, a blank one, a sale banner, an instruction to the judge in
the product's name, and the exemplars of judge.exemplars, if there are any, in another order. With gold
(calibration.gold, Parquet or CSV with id and score): agreement, rank correlation, AUC, confusion, reliability,
conformal intervals of scores at calibration.coverage, and how often critiques flag pictures known to be clean.
Writes out/calibration.json, out/calibration.html and the scores, and prints a table; a failed check is a warning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from p2i_ray.cluster import connection, preflight, resources
from p2i_ray.config import Config
from p2i_ray.console.cli import main
from p2i_ray.console.progress import phase
from p2i_ray.data import preset_data
from p2i_ray.run import job_output
from p2i_ray.storage import locations

if TYPE_CHECKING:
    from p2i_ray.judge.judge import Judge
    from p2i_ray.judge.requests.prompts import Exemplar


class CalibrateJob(Config):
    """The settings of this job."""

    data: str = Field(description="EPBD folder, a path or URI")
    split: str = Field("train", description="its rows are sampled, and looked up in the gold scores")
    out: str = Field(description="folder for figures and scores, a path or URI; must be new")


def run(job: CalibrateJob) -> None:
    """Calibrate the judge on the split."""
    from p2i_ray.data import longest_names, reading
    from p2i_ray.judge import length_check
    from p2i_ray.judge.calibration import calibrate as calibration
    from p2i_ray.judge.calibration import gold, sanity
    from p2i_ray.judge.judge import Judge
    from p2i_ray.judge.request_lengths import Asked
    from p2i_ray.judge.requests import exemplars

    calibration.check(job.calibration)
    job_output.check(locations.absolute(job.out), "calibrate")
    data = preset_data.ready(job, job.data)
    reading.split_files(data, job.split)
    if job.calibration.gold:
        gold.read(locations.absolute(job.calibration.gold))  # fail on a mistake in it before the engines start
    c_r = exemplars.from_settings(job.judge, job.image)
    if not job.judge.hosted.url:
        names = longest_names.read(data, job.split, job.judge.max_name_chars)
        with_instructions = sanity.with_instructions(names, job.judge.max_name_chars)
        asked = Asked(with_instructions, exemplars=c_r, critiques=bool(job.calibration.gold))
        length_check.check(job.judge, job.image, asked)
    preflight.check_rights(job.out)
    with Judge(job.judge, job.image, job.seed) as judge:
        connection.connect(job.ray)
        preflight.check([resources.scoring(job.judge)], writes=[job.out], reads=[job.data])
        check(judge, job, c_r)


def check(judge: Judge, job: CalibrateJob, exemplars: Sequence[Exemplar]) -> None:
    """Calibrate a judge, write the page and print the table."""
    from p2i_ray.data import reading
    from p2i_ray.judge.calibration.calibrate import Calibration, calibrate
    from p2i_ray.report import calibration as report_calibration

    data, out = locations.absolute(job.data), locations.absolute(job.out)
    rows = reading.read_split(data, job.split, columns=[*judge.columns, "category"])
    with job_output.held(out, "calibrate"):
        with phase(f"calibrate on {job.split}", None, "replies") as progress:
            facts = calibrate(
                judge,
                rows,
                out,
                settings=job.calibration,
                gamma=job.idr.gamma,
                threshold_on=job.idr.threshold_on,
                exemplars=exemplars,
                image=job.image,
                seed=job.seed,
                progress=progress,
            )
        found = Calibration.model_validate(facts)
        page = report_calibration.write(found, reading.split_files(data, job.split), job.image, out)
        print(report_calibration.table(found))
        for failed in found.failed:
            print(f"warning: {failed.title}: {failed.verdict}; the rule: {failed.rule}")
    print(f"page  {page}")


if __name__ == "__main__":
    main(CalibrateJob, __doc__, run)
