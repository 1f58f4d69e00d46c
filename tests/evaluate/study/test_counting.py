"""A whole study counted by hand."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from p2i_ray.errors import UserError
from p2i_ray.evaluate.study import counting, gold, judge_votes, table, votes
from p2i_ray.judge.calibration import gold as calibration_gold
from tests.support.studies import APPEAL, QUALITY, small_study, votes_file

STUDY = small_study(products=12)


def choices(lost: set[str]) -> object:
    return lambda question, criterion: None if question == "q11" else "lama" if question in lost else "ours"


@pytest.fixture
def ballots(tmp_path: Path) -> list[votes.Ballot]:
    votes_file(tmp_path, STUDY, "anna", choices({"q0", "q1"}))
    votes_file(tmp_path, STUDY, "ben", choices({"q0"}))
    return votes.read(STUDY, str(tmp_path))[0]


SCORES = {f"ours{n}": 4.0 for n in range(12)} | {f"lama{n}": 3.0 for n in range(12)} | {"lama1": 3.8, "lama2": None}


def test_figures_by_hand(ballots: list[votes.Ballot]) -> None:
    judge = judge_votes.compare(STUDY, SCORES, margin=0.25, column="expected_score", conditions={"weights": "w"})
    found = counting.count(STUDY, ballots, judge, ["a note"])
    assert found.raters == {"anna": 24, "ben": 24} and found.votes == 48
    for one in found.rates:  # anna: 9 won, 2 lost, 1 the same; ben: 10, 1, 1
        assert (one.first, one.second) == ("ours", "lama")
        assert (one.wins, one.ties, one.losses, one.raters, one.products) == (19, 2, 3, 2, 12)
        assert one.rate == 20 / 24 and one.low < 20 / 24 < one.high
    assert [one.criterion for one in found.rates] == [APPEAL, QUALITY]

    [own] = found.judge  # q1 within the margin, q2 not judged
    assert (own.wins, own.ties, own.losses, own.raters) == (10, 1, 0, 1) and found.judge_set_aside == 1
    agreed = found.agreement[0]
    assert agreed.same == 11 / 12 and agreed.shared == 12
    # Raters' 22 votes besides q2: q0 lost twice, q1 twice other than "none", q11 "none" twice, so 16 are the judge's.
    assert (agreed.judge_same, agreed.judge_votes) == (16 / 22, 22)
    assert agreed.judge_sides == 16 / 18  # neither q1 nor q11
    # 24 votes. q even, ours left: anna's and ben's q0 right, q2 to q10 left; q odd: q1 left and right, q3 to q9 right,
    # q11 none: left 11, right 11, none 2. One of 12 pairs differs, so that alpha is 1 - 23 x 2 / (576 - 121 - 121 - 4).
    assert agreed.alpha == pytest.approx(1 - 46 / 330)


def test_every_vote_is_a_row(ballots: list[votes.Ballot]) -> None:
    judge = judge_votes.compare(STUDY, SCORES, margin=0.25, column="expected_score", conditions={})
    rows = list(csv.DictReader(io.StringIO(counting.as_csv(STUDY, ballots, judge))))
    assert len(rows) == 48 + 11
    assert [row["kind"] for row in rows].count("judge") == 11
    row = next(row for row in rows if row["rater"] == "ben" and row["question"] == "q1" and row["criterion"] == QUALITY)
    shown = {name: row[name] for name in ("product", "left", "right", "choice", "preferred")}
    assert shown == {"product": "p1", "left": "lama", "right": "ours", "choice": "right", "preferred": "ours"}


def test_a_name_is_no_formula(tmp_path: Path) -> None:
    file = votes_file(tmp_path, STUDY, "=1+1", choices(set()), name="1")
    [ballot], _ = votes.read(STUDY, str(file))
    assert ballot.rater == "=1+1"
    rows = list(csv.DictReader(io.StringIO(counting.as_csv(STUDY, [ballot], None))))
    assert {row["rater"] for row in rows} == {"'=1+1"} and {row["preferred"] for row in rows} == {"ours", ""}
    named = {key: one.model_copy(update={"product": f"@{one.product}"}) for key, one in STUDY.pictures.items()}
    scores = list(csv.DictReader(io.StringIO(gold.as_csv(STUDY.model_copy(update={"pictures": named}), [ballot]))))
    assert {row["product"][:2] for row in scores} == {"'@"} and {row["score"] for row in scores} == {"5", "3", "1"}


def test_the_table(ballots: list[votes.Ballot]) -> None:
    judge = judge_votes.compare(STUDY, SCORES, margin=0.25, column="expected_score", conditions={})
    text = table.markdown(counting.count(STUDY, ballots, judge, ["a note"]))
    rates = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[:5]]
    assert rates[2][:6] == [APPEAL, "ours", "lama", "79.2 %", "8.3 %", "12.5 %"]
    assert rates[2][6].startswith("83.3 % (") and rates[2][7:] == ["24", "2", "12"]
    assert rates[4][0] == "judge's score" and rates[4][7:] == ["11", "1", "11"]
    assert "2 raters, 48 votes. The judge's margin is 0.25" in text
    assert "The judge could not compare 1 pair." in text and "- a note" in text


def test_a_file_without_votes_makes_no_rater_of_the_figures(ballots: list[votes.Ballot]) -> None:
    ballots.append(votes.Ballot("zoe", {}, "zoe.json"))
    assert "2 raters, 48 votes." in table.markdown(counting.count(STUDY, ballots, None))


def test_one_rater_has_no_agreement(tmp_path: Path) -> None:
    votes_file(tmp_path, STUDY, "anna", choices(set()))
    results = counting.count(STUDY, votes.read(STUDY, str(tmp_path))[0], None)
    assert results.agreement[0].alpha is None and results.judge == []
    text = table.markdown(results)
    assert "alpha: no pair has votes of two raters" in text and "judge" not in text


def test_votes_as_gold_scores(ballots: list[votes.Ballot], tmp_path: Path) -> None:
    scores = gold.scores(STUDY, ballots)
    assert scores["ours0"] == (1, 4) and scores["lama0"] == (5, 4)  # 2 raters, 2 criteria
    assert scores["ours1"] == (3, 4) and scores["ours11"] == (3, 4)
    assert scores["ours5"] == (5, 4)
    file = tmp_path / gold.FILE
    file.write_text(gold.as_csv(STUDY, ballots))
    assert calibration_gold.read(str(file)) == {key: score for key, (score, _) in scores.items()}


def test_the_judges_votes_are_kept_with_their_study(tmp_path: Path) -> None:
    found = judge_votes.compare(STUDY, SCORES, margin=0, column="score", conditions={})
    assert found.votes["q1"] == "right" and found.votes["q0"] == "left" and "q2" not in found.votes
    assert judge_votes.read(STUDY, str(tmp_path)) is None
    judge_votes.write(found, str(tmp_path))
    assert judge_votes.read(STUDY, str(tmp_path)) == found
    with pytest.raises(UserError, match="is of another study"):
        judge_votes.read(small_study(products=3), str(tmp_path))
