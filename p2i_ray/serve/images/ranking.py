"""The order of a request's candidates: by the judge, and with a reference also by style.

The judge's place of a candidate is that by its score; where the best were compared in pairs, those come first, by how
much each is preferred.

Scores and similarities have no common scale, so places are added: a candidate's place by the judge's score and its
place by the similarity of its background to the reference's. Where sums are equal, the judge's score decides, then the
order of painting. With two candidates on which both disagree it is the judge alone that decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from p2i_ray.serve.images.protocol import Verdict


@dataclass(frozen=True)
class Candidate:
    """A painted image of a request.

    Attributes:
        index: in the order of painting.
        verdict: the judge's, where images were ranked.
        style: similarity of its background to the reference's, -1 to 1, where images were ranked by it.
    """

    index: int
    verdict: Verdict | None = None
    style: float | None = None


def ranked(verdicts: Sequence[Verdict], styles: Sequence[float] | None = None) -> list[Candidate]:
    """The candidates, the best first; those that the judge could not score come last.

    Args:
        verdicts: the judge's, in the order of painting.
        styles: the similarities, in that order (none: there is no reference).
    """
    scores = [_rating(verdict) for verdict in verdicts]
    sums = _places(scores) if styles is None else [a + b for a, b in zip(_places(scores), _places(styles), strict=True)]
    order = sorted(
        range(len(verdicts)), key=lambda i: (verdicts[i].score is None, sums[i], _negative(scores[i]))
    )  # stable
    return [Candidate(i, verdicts[i], None if styles is None else styles[i]) for i in order]


Rating = tuple[float, float]  # preference, score; -inf: unknown


def _rating(verdict: Verdict) -> Rating:
    unknown = float("-inf")
    score = unknown if verdict.score is None else verdict.score
    return unknown if verdict.preference is None else verdict.preference, score


def _negative(rating: Rating) -> Rating:
    return -rating[0], -rating[1]


def _places(values: Sequence[Any]) -> list[int]:
    """Number of values that are higher than each one."""
    return [sum(other > value for other in values) for value in values]
