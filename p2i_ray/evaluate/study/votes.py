"""Raters' votes: the files that the page saves."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from p2i_ray.errors import UserError
from p2i_ray.evaluate.study.study import Study
from p2i_ray.storage import folders, locations

Choice = Literal["left", "none", "right"]
BOM = b"\xef\xbb\xbf"  # which some editors write where the text of the votes is pasted
SUFFIX = ".json"
UNSEEN = ("Cc", "Cf")  # Unicode's control and format characters
MAX_BYTES = 50_000_000  # of a file of votes; one of 1,000 pairs has 300 kB


class Vote(BaseModel):
    """A rater's answer by one criterion about one pair."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str
    criterion: str
    choice: Choice


class VotesFile(BaseModel):
    """The votes that the page saves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["study-votes"]
    version: Literal[1]
    study: str
    rater: str = Field(max_length=80)
    votes: list[Vote]

    @field_validator("rater")
    @classmethod
    def _name(cls, rater: str) -> str:
        # The same name has one spelling: an accent may be part of a letter or follow it, and phones add marks that
        # nobody sees, as for the direction of a script. What a terminal would take for an order goes with them.
        seen = "".join(sign for sign in " ".join(rater.split()) if unicodedata.category(sign) not in UNSEEN)
        seen = unicodedata.normalize("NFC", " ".join(seen.split()))
        if not seen:
            raise ValueError("this is no name")
        return seen


class Ballot(NamedTuple):
    """All votes of a rater."""

    rater: str
    votes: dict[tuple[str, str], Choice]  # by question and criterion
    file: str


def read(study: Study, place: str) -> tuple[list[Ballot], list[str]]:
    """The raters' votes, sorted by rater, and what is to be said about them.

    Args:
        study: that they are about.
        place: a folder with *.json, or files with commas between.

    Raises:
        UserError: a file is not there, is no file of votes, is of another study or names what the study doesn't have;
            a rater has sent two different files; or there are no votes at all.
    """
    found: dict[str, Ballot] = {}
    files, notes = _files(place)
    for file in files:
        ballot = _read(study, file)
        rater = unicodedata.normalize("NFKC", ballot.rater).casefold()  # also where one types wider letters
        earlier = found.get(rater)
        if earlier is None:
            found[rater] = ballot
        elif earlier.votes == ballot.votes:
            notes.append(f"{file} has the same votes by {ballot.rater} as {earlier.file}; they count once")
        else:
            raise UserError(
                f"{earlier.file} ({len(earlier.votes)} votes) and {file} ({len(ballot.votes)}) differ, and both are by "
                f"{ballot.rater}; keep the one that counts"
            )
    if not any(ballot.votes for ballot in found.values()):
        raise UserError(f"{place} has no votes; give a folder with the files that raters have saved, or these files")
    for ballot in found.values():
        asked = len(study.questions) * len(study.criteria)
        if len(ballot.votes) < asked:
            notes.append(f"{ballot.rater} has answered {len(ballot.votes)} of {asked} questions")
    return sorted(found.values()), notes


def _files(place: str) -> tuple[list[str], list[str]]:
    """The files of votes, and what is to be said about others."""
    given = [locations.absolute(one.strip()) for one in place.split(",") if one.strip()]
    files: list[str] = []
    notes: list[str] = []
    for one in given:
        kind = locations.kind(one)
        if kind is None:
            raise UserError(f"votes {one} are not there; give a folder with *.json, or files with commas between")
        inside = folders.files(one) if kind == "directory" else []
        own = [file for file in inside if file.lower().endswith(SUFFIX)] if kind == "directory" else [one]
        files += own
        notes += [f"{file} is not read: it is no *{SUFFIX}" for file in inside if file not in own]
        below = [name for name in folders.files_below(one) if "/" in name] if kind == "directory" else []
        if below := [name for name in below if name.lower().endswith(SUFFIX)]:
            notes.append(f"{one} has more *{SUFFIX} in folders of its own, which are not read, as {min(below)}")
    if not files:
        raise UserError(f"{place} has no *.json; give a folder with the files that raters have saved, or these files")
    return list(dict.fromkeys(files)), notes


def _read(study: Study, file: str) -> Ballot:
    content = locations.read_bytes(file).removeprefix(BOM)
    if len(content) > MAX_BYTES:
        raise UserError(f"{file} has {len(content) / 1e6:.0f} MB, too much for a file of votes; leave it out")
    try:
        read = VotesFile.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        wrong = ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
        raise UserError(f"{file} is no file of votes: {wrong}; ask for it again, or leave it out") from None
    if read.study != study.id:
        raise UserError(f"{file} is of study {read.study}, not of this one ({study.id}); leave it out")
    criteria = {one.name for one in study.criteria}
    votes: dict[tuple[str, str], Choice] = {}
    for vote in read.votes:
        if vote.question not in study.questions:
            raise UserError(f"{file} has a vote on {vote.question}, which is no question of the study; leave it out")
        if vote.criterion not in criteria:
            raise UserError(
                f"{file} has a vote by {vote.criterion!r}, which is no criterion of the study; leave it out"
            )
        if (vote.question, vote.criterion) in votes:
            raise UserError(f"{file} has two votes on {vote.question} by {vote.criterion}; keep the one that counts")
        votes[vote.question, vote.criterion] = vote.choice
    return Ballot(read.rater, votes, file)


def by_question(ballots: Sequence[Ballot], questions: Sequence[str], criterion: str) -> list[list[Choice]]:
    """The choices about each of the questions by one criterion, in the order of the raters who answered it."""
    return [
        [ballot.votes[question, criterion] for ballot in ballots if (question, criterion) in ballot.votes]
        for question in questions
    ]
