"""Score a split with the judge: R(x, p_R, c_R, f) of Eq. 6 and 8 for every row.

    python jobs/score.py --config mini data=data/mini split=train out=runs/mini-scores
    python jobs/score.py --config mini data=data/mini out=runs/strict "feedback=wrong scene, clutter"

Writes out/*.parquet (id, score, expected_score, entropy, reason, error), every id once, and out/manifest.json, and
prints the counts. After an interruption the same command continues: answers are cached in out/judge-cache.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from p2i_ray.cluster import connection, preflight, resources
from p2i_ray.config import Config
from p2i_ray.console.cli import main
from p2i_ray.console.progress import phase
from p2i_ray.data import preset_data
from p2i_ray.run import job_output
from p2i_ray.storage import locations, parquet

if TYPE_CHECKING:
    from p2i_ray.judge.requests.prompts import Exemplar


class ScoreJob(Config):
    """The settings of this job."""

    data: str = Field(description="EPBD folder, a path or URI")
    split: str = Field("train", description="its rows are scored")
    out: str = Field(description="folder for the scores, a path or URI; must be new")
    feedback: str = Field("", description="f, flaws of generated pictures that the judge should look for (none: Eq. 6)")


def run(job: ScoreJob) -> None:
    """Score the split and print the counts."""
    from p2i_ray.data import reading
    from p2i_ray.judge.requests import exemplars

    out = locations.absolute(job.out)
    job_output.check(out, "score")
    data = preset_data.ready(job, job.data)
    total = reading.count(data, job.split)
    c_r = exemplars.from_settings(job.judge, job.image)
    preflight.check_rights(out)
    with job_output.held(out, "score"):
        written = score_split(job, data, out, total=total, exemplars=c_r)
    scores = parquet.read_parquet(out, written.files, ["score"])["score"].to_pylist()
    print(f"rows      {written.rows}\nset aside {written.set_aside}")
    for score in range(1, 6):
        print(f"score {score}   {scores.count(score)}")


def score_split(job: ScoreJob, data: str, out: str, *, total: int, exemplars: Sequence[Exemplar]) -> parquet.Written:
    """Score the split's `total` rows into the folder."""
    from p2i_ray.data import reading
    from p2i_ray.judge.judge import Judge

    for left in locations.files(out, ".parquet"):  # of an attempt that was interrupted; its answers are in the cache
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


if __name__ == "__main__":
    main(ScoreJob, __doc__, run)
