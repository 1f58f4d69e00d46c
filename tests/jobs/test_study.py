"""jobs/study.py: from evaluations to a page, the judge's votes, and the figures; mistakes before anything is made."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import ModuleType

import pytest

from p2i_ray.config import load
from p2i_ray.console.cli import main
from p2i_ray.evaluate.study import judge_votes, study
from p2i_ray.judge.calibration import gold
from p2i_ray.judge.judge import Judge
from tests.support.evaluated import write_methods
from tests.support.load_job import load_job
from tests.support.studies import votes_file

COLOURS = {"ours": (200, 40, 40), "lama": (40, 200, 40)}


@pytest.fixture(scope="module")
def job() -> ModuleType:
    return load_job("study")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> str:
    return ",".join(write_methods(tmp_path_factory.mktemp("evaluations"), COLOURS))


def run(job: ModuleType, *settings: str) -> None:
    main(job.StudyJob, job.__doc__, job.run, ["--config", "mini", *settings], instead=[job.COUNT])


def failing(job: ModuleType, capfd: pytest.CaptureFixture[str], *settings: str) -> str:
    """The one line that a wrong command gives."""
    with pytest.raises(SystemExit) as stopped:
        run(job, *settings)
    assert stopped.value.code == 2
    [line] = [text for text in capfd.readouterr().err.splitlines() if text.startswith("error: ")]
    return line


def test_a_study_is_made_and_counted(
    job: ModuleType, evaluated: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    run(job, f"evaluated={evaluated}", f"out={out}", "pictures=10")
    printed = capfd.readouterr().out
    assert "10 pairs of 10 products\n" in printed and f"{out}/study.html (send this" in printed
    made = study.read(str(out))
    assert [one.model for one in made.methods] == ["lama /models/ours", "lama /models/lama"]
    votes_file(tmp_path / "votes", made, "anna", lambda question, criterion: "ours")
    votes_file(tmp_path / "votes", made, "ben", lambda question, criterion: None)
    run(job, "--count", f"study={out}", f"votes={tmp_path}/votes")
    table = capfd.readouterr().out
    assert table == (out / "study-results.md").read_text("utf-8")
    [line] = [one for one in table.splitlines() if one.startswith("| visual appeal") and "ours" in one]
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    assert cells[:5] == ["ours", "lama", "50.0 %", "50.0 %", "0.0 %"] and cells[5].startswith("75.0 %")
    assert json.loads((out / "study-results.json").read_text())["raters"] == {"anna": 30, "ben": 30}
    with (out / "votes.csv").open(newline="", encoding="utf-8") as opened:
        assert len(list(csv.DictReader(opened))) == 60
    scores = gold.read(str(out / "gold.csv"))  # anna's wins, ben's halves
    assert {made.pictures[key].method: score for key, score in scores.items()} == {"ours": 4, "lama": 2}
    again = failing(job, capfd, f"evaluated={evaluated}", f"out={out}", "pictures=10")
    assert f"{out} has a study, whose page raters may have; give another out, or study.judge=true" in again
    page = (out / study.PAGE).read_bytes()
    others = failing(job, capfd, f"evaluated={evaluated}", f"out={out}", "pictures=9", "study.judge=true")
    assert "holds a study with other settings, whose page raters may have; give those that it was made with" in others
    assert study.read(str(out)) == made and (out / study.PAGE).read_bytes() == page


def test_mistakes_are_one_line(
    job: ModuleType, evaluated: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = f"out={tmp_path}/out"
    for settings, line in (
        (["evaluated=/nowhere,/elsewhere", out], "/nowhere has no generated.json"),
        ([f"evaluated={evaluated}", "names=one", out], "names= has 1 names for 2 evaluations"),
        ([f"evaluated={evaluated}", "study.reference=x", out], "study.reference=x is none of the methods ours, lama"),
        ([f"evaluated={evaluated}", "study.criteria=[beauty]", out], "'beauty' is no criterion"),
        ([f"evaluated={evaluated}", "study.criteria=[a - b, a - c]", out], "two criteria have the same name"),
        (["--count", f"study={tmp_path}", "votes=/nowhere"], "has no study.json"),
    ):
        assert line in failing(job, capfd, *settings)


def test_the_judge_votes_as_one_more_rater(
    judge: Judge, job: ModuleType, evaluated: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    given = [f"evaluated={evaluated}", f"out={out}", "pictures=2"]
    run(job, *given)
    made = study.read(str(out))
    settings = load(job.StudyJob, "mini", [*given, "study.judge_margin=0"])
    found = job.judged(judge, made, settings, str(out))
    assert found.votes.keys() == made.questions.keys() and found.margin == 0
    judge_votes.write(found, str(out))
    votes_file(tmp_path / "votes", made, "anna", lambda question, criterion: "ours")
    capfd.readouterr()
    run(job, "--count", f"study={out}", f"votes={tmp_path}/votes")
    table = capfd.readouterr().out
    [line] = [one for one in table.splitlines() if one.startswith("| judge's score")]
    wins = sum(made.preferred(question, choice) == "ours" for question, choice in found.votes.items())
    assert line.split("|")[4].strip() == f"{50 * wins}.0 %"
    results = json.loads((out / "study-results.json").read_text())
    assert results["votes"] == 6 and all(one["wins"] == 2 for one in results["rates"])  # hers alone
    assert results["agreement"][0]["judge_same"] == wins / 2
