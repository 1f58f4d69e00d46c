"""Score a split with the judge: R(x, p_R, c_R, f) of Eq. 6 and 8 for every row.

    python jobs/score.py --config mini data=data/mini split=train out=runs/mini-scores
    python jobs/score.py --config mini data=data/mini out=runs/strict "feedback=wrong scene, clutter"
    python jobs/score.py --config mini --plan data=data/mini

Writes out/*.parquet (id, score, expected_score, entropy, reason, error), every id once, and out/manifest.json, and
prints the counts. After an interruption the same command continues: answers are cached in out/judge-cache. With --plan
nothing is scored: tokens a picture and a request, what fits in judge.max_model_len, hours and price, without Ray and
GPUs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from p2i_ray.cluster import connection, preflight, resources
from p2i_ray.config import Config
from p2i_ray.config.planning import JudgingPlanConfig
from p2i_ray.console.cli import AlternativeAction, main
from p2i_ray.console.progress import phase
from p2i_ray.data import preset_data
from p2i_ray.run import job_output
from p2i_ray.storage import folders, locations, parquet

if TYPE_CHECKING:
    from p2i_ray.judge.request_lengths import Asked
    from p2i_ray.judge.requests.prompts import Exemplar


class ScoreJob(Config):
    """The settings of this job."""

    data: str = Field(description="EPBD folder, a path or URI")
    split: str = Field("train", description="its rows are scored")
    out: str = Field(description="folder for the scores, a path or URI; must be new")
    feedback: str = Field("", description="f, flaws of generated pictures that the judge should look for (none: Eq. 6)")


class PlanJob(Config):
    """Settings that a forecast goes by."""

    data: str | None = None  # where it is there, its rows are counted and its names are looked at
    split: str = "train"
    out: str | None = None  # as in the job's own command; it says nothing here
    feedback: str = ""
    plan: JudgingPlanConfig = JudgingPlanConfig()


def show_plan(job: PlanJob) -> None:
    """Print what the scoring would take."""
    from p2i_ray.data import reading
    from p2i_ray.judge.requests import exemplars
    from p2i_ray.planning import judge_text

    c_r = exemplars.from_settings(job.judge, job.image)
    data = locations.absolute(job.data) if job.data else None
    there = data if data and locations.exists(data) else None
    rows = reading.count(there, job.split) if there else job.plan.rows
    asked = _asked(job, there, feedback=job.feedback, exemplars=c_r)
    print("\n".join(judge_text.as_lines(job, job.plan, asked, rows)))
    if not there:
        print(f"data         {job.data or 'none'} is not there: its rows are plan.rows, its names in common words")


def run(job: ScoreJob) -> None:
    """Score the split and print the counts."""
    from p2i_ray.data import reading
    from p2i_ray.judge import length_check
    from p2i_ray.judge.requests import exemplars

    out = locations.absolute(job.out)
    job_output.check(out, "score")
    data = preset_data.ready(job, job.data)
    total = reading.count(data, job.split)
    c_r = exemplars.from_settings(job.judge, job.image)
    length_check.check(job.judge, job.image, _asked(job, data, feedback=job.feedback, exemplars=c_r))
    preflight.check_rights(out)
    with job_output.held(out, "score"):
        written = score_split(job, data, out, total=total, exemplars=c_r)
    scores = parquet.read_parquet(out, written.files, ["score"])["score"].to_pylist()
    print(f"rows      {written.rows}\nset aside {written.set_aside}")
    for score in range(1, 6):
        print(f"score {score}   {scores.count(score)}")


def _asked(job: ScoreJob | PlanJob, data: str | None, *, feedback: str, exemplars: Sequence[Exemplar]) -> Asked:
    """The judge's requests at their longest; without data, names are taken to be in common words."""
    from p2i_ray.data import longest_names
    from p2i_ray.judge.request_lengths import Asked

    names: list[str] = []
    if data and not job.judge.hosted.url:  # an endpoint counts by itself
        names = longest_names.read(data, job.split, job.judge.max_name_chars)
    return Asked(names, exemplars=exemplars, feedback=feedback)


def score_split(job: ScoreJob, data: str, out: str, *, total: int, exemplars: Sequence[Exemplar]) -> parquet.Written:
    """Score the split's `total` rows into the folder."""
    from p2i_ray.data import reading
    from p2i_ray.judge.judge import Judge

    for left in folders.files(out, ".parquet"):  # of an attempt that was interrupted; its answers are in the cache
        locations.remove(left)
    with Judge(job.judge, job.image, job.seed, cache=locations.join(out, "judge-cache")) as judge:
        connection.connect(job.ray)
        preflight.check([resources.scoring(job.judge)], writes=[out], reads=[data])
        with phase(f"score {job.split}", total) as progress:
            written = judge.score(
                reading.read_split(data, job.split),
                out,
                feedback=job.feedback,
                exemplars=exemplars,
                gamma=job.idr.gamma,
                threshold_on=job.idr.threshold_on,
                progress=progress,
            )
    locations.write_text(
        locations.join(out, "manifest.json"), json.dumps({**written._asdict(), "facts": dict(written.facts)})
    )
    return written


PLAN = AlternativeAction("--plan", "print tokens, hours and price of the scoring instead of it", PlanJob, show_plan)

if __name__ == "__main__":
    main(ScoreJob, __doc__, run, instead=[PLAN])
