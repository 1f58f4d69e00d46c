"""The question whether a background suits its product, and the probability of yes."""

from __future__ import annotations

import math

import pytest

from p2i_ray.judge.requests.parsing import ReplyError, Step
from p2i_ray.judge.requests.prompts import load_suitability
from p2i_ray.judge.requests.suitability import SUITABILITY, SuitabilityTask
from p2i_ray.judge.requests.tasks import Reply

TASK = SuitabilityTask(load_suitability(cutouts=True))


def test_the_question_is_answered_by_one_constrained_token() -> None:
    request = TASK.request("lamp", b"picture", b"cutout")
    assert (request.max_tokens, request.choice, request.probabilities) == (1, ("yes", "no"), True)
    cutout, picture, question = request.messages[-1]["content"]
    assert (cutout["image"], picture["image"]) == (b"cutout", b"picture")
    assert "Does the background suit a lamp?" in question["text"]
    assert TASK.rest(request, Reply("y", truncated=True)) is None


def test_the_step_that_decides_is_the_first_that_is_no_space() -> None:
    steps = [Step("▁", []), Step(" Yes", [(" Yes", -0.1)]), Step("4", [("4", 0.0)])]
    assert TASK.request("lamp", b"").deciding_step(steps) is steps[1]
    assert TASK.request("lamp", b"").deciding_step([]) is None


@pytest.mark.parametrize(
    ("alternatives", "expected"),
    [
        ({"yes": 0.6, "no": 0.2}, 0.75),  # what is neither is left out
        ({"Yes": 0.3, " yes": 0.3, "NO": 0.2, "maybe": 0.2}, 0.75),
        ({"y": 0.1, "ye": 0.1, "n": 0.6}, 0.25),  # a tokenizer that knows no such words
        ({"no": 0.9}, 0),
        ({"▁yes": 1.0, "": 0.5}, 1),
    ],
)
def test_the_probability_of_yes(alternatives: dict[str, float], expected: float) -> None:
    step = Step(next(iter(alternatives)), [(token, math.log(p)) for token, p in alternatives.items()])
    columns = TASK.columns(Reply("yes", step=step))
    assert columns == {"p_yes": pytest.approx(expected)}
    assert {"id", "error", *columns} == set(SUITABILITY.names)


def test_a_reply_without_either_is_an_error() -> None:
    with pytest.raises(ReplyError, match="no probabilities of yes and no"):
        TASK.columns(Reply("yes"))
    with pytest.raises(ReplyError, match="neither yes nor no is an alternative of the reply 'maybe'"):
        TASK.columns(Reply("maybe", step=Step("maybe", [("maybe", -0.1)])))
