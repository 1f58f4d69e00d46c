"""Score a split with the judge: R(x, p_R, c_R, f) of Eq. 6 and 8 for every row.

    python jobs/score.py --config mini data=data/mini split=train out=runs/mini-scores
    python jobs/score.py --config mini data=data/mini out=runs/strict "feedback=wrong scene, clutter"

Writes out/*.parquet (id, score, expected_score, entropy, reason, error), every id once, and out/manifest.json, and
prints the counts. The same command after an interruption asks only what is new: answers are kept in out/judge-cache.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import Field

sys.path.insert(0, str(Path(__file__).parents[1]))

from p2i_ray import cluster, preflight, resources, sink, storage
from p2i_ray.cli import main
from p2i_ray.config import Config
from p2i_ray.errors import UserError
from p2i_ray.progress import phase

UNFINISHED = "unfinished.txt"


class ScoreJob(Config):
    """The judge's own keys."""

    data: str = Field(description="EPBD folder, a path or URI")
    split: str = Field("train", description="its rows are scored")
    out: str = Field(description="folder for the scores, a path or URI; must be new")
    feedback: str = Field("", description="f, text that the judge heeds: what painted pictures do wrong (none: Eq. 6)")


def run(job: ScoreJob) -> None:
    from p2i_ray.epbd import reading
    from p2i_ray.lmm import exemplars
    from p2i_ray.lmm.judge import Judge

    data, out = storage.absolute(job.data), storage.absolute(job.out)
    total = reading.count(data, job.split)
    shown = exemplars.given(job.judge, job.image)
    preflight.check_rights(out)
    claim(out)
    with Judge(job.judge, job.image, job.seed, storage.join(out, "judge-cache")) as judge:
        cluster.connect(job.ray)
        preflight.check([resources.scoring(job.judge)], writes=[out], reads=[data])
        with phase(f"score {job.split}", total) as progress:
            written = judge.score(reading.read_split(data, job.split), out, job.feedback, progress, shown)
    storage.write_text(
        storage.join(out, "manifest.json"), json.dumps({**written._asdict(), "facts": dict(written.facts)})
    )
    storage.remove(storage.join(out, UNFINISHED))
    scores = sink.read_parquet(out, written.files, ["score"])["score"].to_pylist()
    print(f"rows      {written.rows}\nset aside {written.set_aside}")
    for score in range(1, 6):
        print(f"score {score}   {scores.count(score)}")


def claim(out: str) -> None:
    """Take a new folder, or one that this job left unfinished.

    Raises:
        UserError: the folder holds something else.
    """
    mark = storage.join(out, UNFINISHED)
    if storage.exists(out) and not storage.exists(mark):
        raise UserError(f"{out} is there already; give another out, or remove it")
    for left in storage.files(out, ".parquet") if storage.exists(out) else []:
        storage.remove(left)
    storage.write_text(mark, "The same command finishes these scores.\n")


if __name__ == "__main__":
    main(ScoreJob, __doc__, run)
