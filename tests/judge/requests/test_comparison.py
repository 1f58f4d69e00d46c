"""Two pictures compared, in both orders."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.judge.requests.comparison import COMPARISONS, ComparisonTask, preferences
from p2i_ray.judge.requests.parsing import ReplyError, Step
from p2i_ray.judge.requests.prompts import load_comparison
from p2i_ray.judge.requests.tasks import Reply

TASK = ComparisonTask(load_comparison())


def test_the_question_shows_both_in_their_order() -> None:
    request = TASK.request("lamp", b"one", b"other")
    assert (request.max_tokens, request.choice, request.probabilities) == (1, ("first", "second"), True)
    one, other, question = request.messages[-1]["content"]
    assert (one["image"], other["image"]) == (b"one", b"other")
    assert "Product name: lamp" in question["text"] and "the first or the second?" in question["text"]


def test_the_probability_of_the_first() -> None:
    step = Step("first", [("first", math.log(0.6)), (" Sec", math.log(0.2)), ("both", math.log(0.2))])
    assert TASK.columns(Reply("first", step=step)) == {"p_first": pytest.approx(0.75)}
    assert set(COMPARISONS.names) == {"id", "p_first", "error"}
    with pytest.raises(ReplyError, match="neither first nor second"):
        TASK.columns(Reply("both", step=Step("both", [("both", -0.1)])))


def test_both_orders_are_averaged() -> None:
    """0 against 1: (.9 + 1 - .5) / 2 = .7; 0 against 2 has half an answer; 1 against 2: (.5 + 1 - .3) / 2 = .6."""
    first = {(0, 1): 0.9, (1, 0): 0.5, (0, 2): 0.8, (2, 0): None, (1, 2): 0.5, (2, 1): 0.3}
    assert preferences(3, first) == pytest.approx([0.7, (0.3 + 0.6) / 2, 0.4])
    assert preferences(2, {(0, 1): 0.9, (1, 0): None}) == [None, None]


@given(place=st.floats(0, 1), number=st.integers(2, 6))
def test_a_judge_that_sees_only_the_place_prefers_none(place: float, number: int) -> None:
    pairs = {(one, other): place for one in range(number) for other in range(number) if one != other}
    assert preferences(number, pairs) == pytest.approx([0.5] * number)
