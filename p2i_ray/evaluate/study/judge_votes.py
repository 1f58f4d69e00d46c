"""The judge as one more rater: of two pictures it prefers the one with the higher score."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, ValidationError

from p2i_ray.errors import UserError
from p2i_ray.evaluate.study.study import Study
from p2i_ray.evaluate.study.votes import Choice
from p2i_ray.storage import locations

FILE = "judge-votes.json"
CRITERION = "judge's score"  # it gives one score, not one a criterion


class JudgeVotes(BaseModel):
    """The judge's votes on a study."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    study: str
    margin: float  # scores that differ by no more are no difference
    score: str  # column of the judge's scores that was compared
    conditions: dict[str, str]  # what its answers depend on
    votes: dict[str, Choice]  # by question
    set_aside: int  # questions with a picture that it could not judge


def compare(
    study: Study, scores: Mapping[str, float | None], *, margin: float, column: str, conditions: Mapping[str, str]
) -> JudgeVotes:
    """The judge's votes.

    Args:
        study: that it votes on.
        scores: by the pictures' keys, 1..5; None: it could not judge that one.
        margin: scores that differ by no more are no difference.
        column: that the scores are from.
        conditions: what its answers depend on.
    """
    votes: dict[str, Choice] = {}
    for id_, one in study.questions.items():
        left, right = scores.get(one.left), scores.get(one.right)
        if left is not None and right is not None:
            votes[id_] = "none" if abs(left - right) <= margin else "left" if left > right else "right"
    return JudgeVotes(
        study=study.id,
        margin=margin,
        score=column,
        conditions=dict(conditions),
        votes=votes,
        set_aside=len(study.questions) - len(votes),
    )


def write(found: JudgeVotes, folder: str) -> None:
    """Write the votes into the study's folder."""
    locations.write_text(locations.join(folder, FILE), found.model_dump_json(indent=1))


def read(study: Study, folder: str) -> JudgeVotes | None:
    """The judge's votes on a study; none: it was not asked.

    Raises:
        UserError: the file can't be read, or belongs to another study.
    """
    location = locations.join(folder, FILE)
    if not locations.exists(location):
        return None
    try:
        found = JudgeVotes.model_validate_json(locations.read_bytes(location))
    except ValidationError as error:
        raise UserError(f"{location} has no votes of a judge: {error.errors()[0]['msg']}; remove it") from None
    if found.study != study.id or not found.votes.keys() <= study.questions.keys():
        raise UserError(f"{location} is of another study; remove it")
    return found
