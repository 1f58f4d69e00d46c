"""A user study (section 5.2.3): raters compare methods' pictures of the same products on a page that names no method.

    python jobs/study.py --config mini evaluated=runs/ours,runs/lama out=runs/study pictures=50
    python jobs/study.py --config mini evaluated=runs/ours,runs/lama out=runs/judged study.judge=true
    python jobs/study.py --config mini --count study=runs/study votes=runs/votes

evaluated= names out folders of jobs/evaluate.py on the same split. Writes out/study.html, the only file for raters, who
send back the file that it saves; out/study.json, the key, which they must not get; and out/pictures, the pictures as
data. With study.judge=true the same command has the judge vote, too, also on a study that is out. --count reads raters'
files, prints the table and writes votes.csv, study-results.json, study-results.md and gold.csv into the study's folder.
See docs/study.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from p2i_ray.cluster import connection, preflight, resources
from p2i_ray.config import Config
from p2i_ray.config.study import StudyConfig
from p2i_ray.console.cli import AlternativeAction, main
from p2i_ray.console.progress import phase
from p2i_ray.errors import UserError
from p2i_ray.run import job_output
from p2i_ray.storage import locations, parquet

if TYPE_CHECKING:
    from p2i_ray.evaluate.study.judge_votes import JudgeVotes
    from p2i_ray.evaluate.study.study import Study
    from p2i_ray.judge.judge import Judge

OF_THE_JUDGE = {"judge", "judge_margin", "max_mb"}  # settings that make no other page


class StudyJob(Config):
    """The settings of this job."""

    evaluated: str = Field(description="out folders of evaluations of the same split, with commas between")
    names: str = Field("", description="the methods' names in the table, with commas between (none: the folders')")
    pictures: int = Field(200, ge=1, description="products that raters see, each by every method (paper: 200)")
    out: str = Field(
        description="folder for page, key and pictures, a path or URI; new, or one whose study the judge votes on"
    )
    study: StudyConfig = StudyConfig()


class CountJob(Config):
    """Votes to count."""

    study: str = Field(description="out folder of a study")
    votes: str = Field(description="folder with raters' files (*.json), or such files with commas between")


def run(job: StudyJob) -> None:
    """Make the study, and let the judge vote if it is asked."""
    from p2i_ray.evaluate.study import evaluations, judge_votes, making, study

    out = locations.absolute(job.out)
    adds = _has_study(job, out)
    job_output.check(out, "study", adds=adds)
    evaluated = evaluations.find([locations.absolute(one) for one in _listed(job.evaluated)], _listed(job.names))
    judge = judge_of(job, out) if job.study.judge else None
    preflight.check_rights(out)
    asked = {
        "evaluated": [one._asdict() for one in evaluated],
        "pictures": job.pictures,
        "seed": job.seed,
        "study": job.study.model_dump(mode="json", exclude=OF_THE_JUDGE),
    }
    with job_output.held(out, "study", adds=adds):
        made = making.make(
            evaluated,
            out,
            settings=job.study,
            image=job.image,
            number=job.pictures,
            seed=job.seed,
            asked=asked,
        )
        if judge:
            with judge:
                judge_votes.write(judged(judge, made, job, out), out)
    print(f"study     {made.id}: {len(made.questions)} pairs of {len(made.products)} products")
    print(f"criteria  {', '.join(one.name for one in made.criteria)}")
    print(f"page      {locations.join(out, study.PAGE)} (send this to raters, and nothing else)")
    print(f"key       {locations.join(out, study.FILE)} (keep it from them)")


def _has_study(job: StudyJob, out: str) -> bool:
    """Whether the folder has a finished study, on which the judge is to vote.

    Raises:
        UserError: it has one, and nothing is to be added.
    """
    from p2i_ray.evaluate.study import study

    if not locations.exists(locations.join(out, study.FILE)) or locations.exists(
        locations.join(out, job_output.MARKER)
    ):
        return False
    if not job.study.judge:
        raise UserError(
            f"{out} has a study, whose page raters may have; give another out, or study.judge=true to have the judge "
            "vote on it, too"
        )
    return True


def judge_of(job: StudyJob, out: str) -> Judge:
    """The judge; its engines start when it is asked."""
    from p2i_ray.judge.judge import Judge

    return Judge(job.judge, job.image, job.seed, cache=locations.join(out, "judge-cache"))


def judged(judge: Judge, made: Study, job: StudyJob, out: str) -> JudgeVotes:
    """The judge's votes on a study, from its scores of the pictures, which are written below `out`."""
    from p2i_ray.data import reading
    from p2i_ray.evaluate.study import judge_votes, study
    from p2i_ray.judge import length_check
    from p2i_ray.judge.request_lengths import Asked
    from p2i_ray.judge.requests import exemplars

    c_r = exemplars.from_settings(job.judge, job.image)
    if not job.judge.hosted.url:
        length_check.check(job.judge, job.image, Asked(list(made.products.values()), exemplars=c_r))
    data, answers = locations.join(out, study.PICTURES), locations.join(out, "judge-scores")
    locations.remove(answers)  # of an attempt that failed; what was answered is in the cache
    connection.connect(job.ray)
    preflight.check([resources.scoring(job.judge)], writes=[out], reads=[data])
    with phase("score the pictures", len(made.pictures), "replies") as progress:
        written = judge.score(
            reading.read_split(data, study.SPLIT), answers, exemplars=c_r, gamma=job.idr.gamma, progress=progress
        )
    whole_only = bool(job.judge.hosted.url) and not job.judge.hosted.logprobs
    column = "score" if whole_only else "expected_score"
    rows = parquet.read_parquet(answers, written.files, ["id", column]).to_pylist()
    return judge_votes.compare(
        made,
        {row["id"]: row[column] for row in rows},
        margin=job.study.judge_margin,
        column=column,
        conditions={
            **{name: value for name, value in judge.conditions().items() if name != "flaws"},
            "prompts": judge.prompts.score.version,
            "exemplars": str(len(c_r)),
        },
    )


def count(job: CountJob) -> None:
    """Count the votes, write the figures and print the table."""
    from p2i_ray.evaluate.study import counting, gold, judge_votes, table, votes
    from p2i_ray.evaluate.study import study as studies

    folder = locations.absolute(job.study)
    study = studies.read(folder)
    judge = judge_votes.read(study, folder)
    ballots, notes = votes.read(study, job.votes)
    results = counting.count(study, ballots, judge, notes)
    text = table.markdown(results)
    written = {
        "votes.csv": counting.as_csv(study, ballots, judge),
        gold.FILE: gold.as_csv(study, ballots),
        "study-results.md": text,
        "study-results.json": results.model_dump_json(indent=1),
    }
    for name, content in written.items():
        locations.write_text(locations.join(folder, name), content)
    print(text, end="")


def _listed(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


COUNT = AlternativeAction("--count", "count raters' votes (study=, votes=) instead", CountJob, count)

if __name__ == "__main__":
    main(StudyJob, __doc__, run, instead=[COUNT])
