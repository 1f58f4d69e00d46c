"""Counting a study's votes: rates, agreement, and every vote as a row."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from p2i_ray.evaluate.study import agreement, judge_votes, votes, win_rates
from p2i_ray.evaluate.study.judge_votes import JudgeVotes
from p2i_ray.evaluate.study.study import Study
from p2i_ray.evaluate.study.votes import Ballot, Choice
from p2i_ray.evaluate.study.win_rates import Outcome, Rate
from p2i_ray.storage import spreadsheet

HEAD = ("kind", "rater", "question", "product", "criterion", "left", "right", "choice", "preferred")
JUDGE = "judge"


class Agreed(BaseModel):
    """The agreement of votes by one criterion; shares are 0..1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    criterion: str
    alpha: float | None  # Krippendorff's, nominal, of left, none and right
    same: float | None  # share of equal votes among two raters' votes on the same pair
    shared: int  # pairs of pictures that at least two raters have answered
    judge_same: float | None  # share of raters' votes that equal the judge's
    judge_sides: float | None  # the same where both prefer a side
    judge_votes: int  # raters' votes that were compared with one of the judge's
    note: str = ""  # why there is no alpha


class Results(BaseModel):
    """The content of study-results.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    study: str
    raters: dict[str, int]  # rater -> votes
    votes: int
    rates: list[Rate]  # of raters
    judge: list[Rate]  # of the judge alone; empty: it was not asked
    judge_margin: float | None
    judge_set_aside: int  # questions that it could not judge
    agreement: list[Agreed]
    notes: list[str]


def count(study: Study, ballots: Sequence[Ballot], judge: JudgeVotes | None, notes: Sequence[str] = ()) -> Results:
    """All figures of a study. The judge's votes are in figures of their own.

    Args:
        study: that was voted on.
        ballots: of raters.
        judge: its votes, if it was asked.
        notes: what is to be said beside them.
    """
    names = [one.name for one in study.criteria]
    by_pair = {pair: [one for one in study.questions if study.pair(one) == pair] for pair in study.pairs}
    rates = [
        win_rates.rate(_outcomes(study, ballots, asked, criterion), first=pair[0], second=pair[1], criterion=criterion)
        for criterion in names
        for pair, asked in by_pair.items()
    ]
    own = [
        win_rates.rate(_judged(study, judge, asked), first=pair[0], second=pair[1], criterion=judge_votes.CRITERION)
        for pair, asked in by_pair.items()
        if judge
    ]
    return Results(
        study=study.id,
        raters={ballot.rater: len(ballot.votes) for ballot in ballots},
        votes=sum(len(ballot.votes) for ballot in ballots),
        rates=rates,
        judge=own,
        judge_margin=judge.margin if judge else None,
        judge_set_aside=judge.set_aside if judge else 0,
        agreement=[_agreed(study, ballots, judge, criterion) for criterion in names],
        notes=list(notes),
    )


def value(study: Study, question: str, choice: Choice) -> float:
    """The value of a choice for the first method of its pair: 1, 0, or 0.5 for no difference."""
    preferred = study.preferred(question, choice)
    return 0.5 if preferred is None else float(preferred == study.pair(question)[0])


def _outcomes(study: Study, ballots: Sequence[Ballot], questions: Sequence[str], criterion: str) -> list[Outcome]:
    return [
        Outcome(study.product(question), ballot.rater, value(study, question, ballot.votes[question, criterion]))
        for ballot in ballots
        for question in questions
        if (question, criterion) in ballot.votes
    ]


def _judged(study: Study, judge: JudgeVotes, questions: Sequence[str]) -> list[Outcome]:
    return [
        Outcome(study.product(question), JUDGE, value(study, question, judge.votes[question]))
        for question in questions
        if question in judge.votes
    ]


def _agreed(study: Study, ballots: Sequence[Ballot], judge: JudgeVotes | None, criterion: str) -> Agreed:
    # As raters saw them, left and right: chance is what somebody would get who doesn't know the methods.
    units = votes.by_question(ballots, list(study.questions), criterion)
    alpha = agreement.krippendorff_alpha(units)
    shared = sum(len(unit) > 1 for unit in units)
    own: list[Choice | None] = [judge.votes.get(question) if judge else None for question in study.questions]
    sides = [[vote for vote in unit if vote != "none"] for unit in units]
    compared = agreement.same_as(units, own)
    note = "" if alpha is not None else "all votes are the same" if shared else "no pair has votes of two raters"
    return Agreed(
        criterion=criterion,
        alpha=alpha,
        same=_share(*agreement.same_votes(units)),
        shared=shared,
        judge_same=_share(*compared),
        judge_sides=_share(*agreement.same_as(sides, [None if one == "none" else one for one in own])),
        judge_votes=compared[1],
        note=note,
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def as_csv(study: Study, ballots: Sequence[Ballot], judge: JudgeVotes | None) -> str:
    """Every vote, with what the rater didn't know."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEAD)
    for ballot in ballots:
        for (question, criterion), choice in sorted(ballot.votes.items()):
            writer.writerow(_row(study, "rater", ballot.rater, question=question, criterion=criterion, choice=choice))
    for question, choice in sorted(judge.votes.items()) if judge else ():
        writer.writerow(_row(study, JUDGE, JUDGE, question=question, criterion=judge_votes.CRITERION, choice=choice))
    return out.getvalue()


def _row(study: Study, kind: str, rater: str, *, question: str, criterion: str, choice: Choice) -> list[str]:
    preferred = study.preferred(question, choice) or ""
    cells = [kind, rater, question, study.product(question), criterion, *study.sides(question), choice, preferred]
    return [spreadsheet.as_text(cell) for cell in cells]  # a rater's name, too, is what somebody else wrote
