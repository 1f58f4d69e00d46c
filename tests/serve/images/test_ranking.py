"""The order of candidates, worked out by hand."""

from __future__ import annotations

from p2i_ray.serve.images.protocol import Verdict
from p2i_ray.serve.images.ranking import ranked


def order(scores: list[float | None], styles: list[float] | None = None) -> list[int]:
    return [one.index for one in ranked([Verdict(score, "") for score in scores], styles)]


def test_by_the_judge_alone_the_highest_score_is_first_and_none_last() -> None:
    assert order([2.0, 4.5, None, 3.25, 4.5]) == [1, 4, 3, 0, 2]  # equal ones in the order of painting


def test_with_styles_places_are_added() -> None:
    # places by score 0 1 2 3, by style 3 0 1 2: sums 3 1 3 5; of the two with 3 the judge's favourite is first
    assert order([4.0, 3.0, 2.0, 1.0], [0.1, 0.9, 0.8, 0.5]) == [1, 0, 2, 3]
    assert order([3.0, 3.0, 3.0], [0.1, 0.9, 0.5]) == [1, 2, 0]  # the judge can't tell: style alone
    assert order([1.0, 2.0, 3.0], [0.5, 0.5, 0.5]) == [2, 1, 0]  # styles are alike: the judge alone
    assert order([4.0, 3.0], [0.1, 0.9]) == [0, 1]  # of two that both disagree on, the judge decides
    assert order([None, 1.0, 2.0], [1.0, 0.1, 0.2]) == [2, 1, 0]  # what can't be judged comes last


def test_candidates_come_with_what_they_were_ranked_by() -> None:
    [first, second] = ranked([Verdict(1.0, "dull"), Verdict(2.0, "fine")], [0.25, 0.75])
    assert (first.index, first.verdict, first.style) == (1, Verdict(2.0, "fine"), 0.75)
    assert second.style == 0.25 and ranked([Verdict(1.0, "")])[0].style is None
