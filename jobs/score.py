"""Score a split with the judge: R(x, p_R, c_R, f) of Eq. 6 and 8 for every row.

    python jobs/score.py --config mini data=data/mini split=train out=runs/mini-scores
    python jobs/score.py --config mini data=data/mini out=runs/strict "feedback=wrong scene, clutter"

Writes out/*.parquet (id, score, expected_score, entropy, reason, error), every id once, and prints the counts.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import Field

sys.path.insert(0, str(Path(__file__).parents[1]))

from p2i_ray import cluster, sink, storage
from p2i_ray.cli import main
from p2i_ray.config import Config
from p2i_ray.errors import UserError
from p2i_ray.progress import phase


class ScoreJob(Config):
    """The judge's own keys."""

    data: str = Field(description="EPBD folder, a path or URI")
    split: str = Field("train", description="its rows are scored")
    out: str = Field(description="folder for the scores, a path or URI; must be new")
    feedback: str = Field("", description="f, text that the judge heeds: what painted pictures do wrong (none: Eq. 6)")
    exemplars: str | None = Field(None, description="c_R, a Parquet file with name, image, score and maybe reason")


def run(job: ScoreJob) -> None:
    from p2i_ray.epbd import reading
    from p2i_ray.lmm import exemplars
    from p2i_ray.lmm.judge import Judge

    data, out = storage.absolute(job.data), storage.absolute(job.out)
    if storage.exists(out):
        raise UserError(f"{out} is there already; give another out, or remove it")
    total = reading.count(data, job.split)
    shown = (
        exemplars.read(storage.absolute(job.exemplars), job.image, job.judge.max_name_chars) if job.exemplars else ()
    )
    with Judge(job.judge, job.image, job.seed) as judge:
        cluster.connect(job.ray)
        with phase(f"score {job.split}", total) as progress:
            written = judge.score(reading.read_split(data, job.split), out, job.feedback, progress, shown)
    scores = sink.read_parquet(out, written.files, ["score"])["score"].to_pylist()
    print(f"rows      {written.rows}\nset aside {written.set_aside}")
    for score in range(1, 6):
        print(f"score {score}   {scores.count(score)}")


if __name__ == "__main__":
    main(ScoreJob, __doc__, run)
