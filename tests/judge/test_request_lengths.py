"""The longest requests, counted with the mini judge's and other families' own processors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from p2i_ray.config import Config, ImageConfig, JudgeConfig, load
from p2i_ray.data.images import encode_png
from p2i_ray.judge.engines.vllm.processor import ChatCounter
from p2i_ray.judge.request_lengths import Asked, Length, Measure
from p2i_ray.judge.requests.prompts import Exemplar, load_prompts
from p2i_ray.judge.requests.tasks import CritiqueTask, ScoreTask, image_part

SQUARE = encode_png(np.full((512, 512, 3), 127, np.uint8))
NAMES = ["mug", "a tall blue enamel mug", "cup"]
LONGEST = NAMES[1]


def settings(model: str, **changes: Any) -> JudgeConfig:
    return JudgeConfig(model=model, **changes)


def counter(model: str) -> ChatCounter:
    return ChatCounter(settings(model), 512)


def measured(model: str, asked: Asked, **changes: Any) -> list[Length]:
    return measure(model, **changes).lengths(asked)


def measure(model: str, **changes: Any) -> Measure:
    own = settings(model, **changes)
    return Measure(own, ImageConfig(), ChatCounter(own, 512))


@pytest.mark.parametrize("family", ["qwen2_5_vl", "llava_next"])
def test_a_score_is_its_prompt_and_a_digit_with_a_space(tiny_judge: Callable[[str], str], family: str) -> None:
    model = tiny_judge(family)
    (found,) = measured(model, Asked(NAMES))
    prompt = counter(model).count(ScoreTask(load_prompts().score).request(LONGEST, SQUARE).messages)
    assert found.tokens == prompt + 2
    assert found.pictures == 1
    assert found.name_tokens == pytest.approx(counter(model).count_text(LONGEST), abs=1)  # " a" is one token, too


def test_exemplars_feedback_and_cutout_are_in_it(tiny_judge: Callable[[str], str]) -> None:
    model = tiny_judge("qwen3_vl")
    shown = Exemplar(name="jug", image_part=image_part(SQUARE), score=2, reason="dark")
    asked = Asked(NAMES, exemplars=[shown, shown], feedback="clutter and blur")
    (found,) = measured(model, asked, show_cutout=True, reasoned=True, max_reason_tokens=100)
    task = ScoreTask(load_prompts().score, "clutter and blur", (shown, shown), max_reason_tokens=100)
    request = task.request(LONGEST, SQUARE, SQUARE)
    own = counter(model)
    assert found.tokens - found.reply_tokens == own.count(request.messages)
    assert (found.pictures, found.exemplars, found.from_setting) == (4, 2, "judge.exemplars")
    assert found.picture_tokens == 4 * (256 + 2)  # with <|vision_start|> and <|vision_end|>
    question = request.messages[-1]["content"][-1]["text"]
    turns = "…<|im_end|>\n<|im_start|>user\n" + question + "<|im_end|>\n<|im_start|>assistant\n"
    assert found.reply_tokens == 100 + own.count_text(turns) + own.count_text('{"reason": "", "score": 5}')


def test_a_round_s_own_exemplars_and_feedback_are_allowed_for(tiny_judge: Callable[[str], str]) -> None:
    model, asked = tiny_judge("llava"), Asked(NAMES, chosen=3, later_feedback=True, critiques=True)
    first, later, critique, summary = measured(model, asked, max_summary_tokens=200)
    assert (first.exemplars, later.exemplars, later.pictures) == (0, 3, 4)
    without = measured(model, asked._replace(later_feedback=False), max_summary_tokens=200)
    paragraph = load_prompts().score.feedback.replace("$text", "feedback").replace("$cap", "3")
    own = counter(model)
    assert later.tokens - without[1].tokens == pytest.approx(200 + own.count_text(paragraph), abs=3)
    assert first == without[0]  # the first round has no feedback
    assert (
        own.count(
            CritiqueTask(load_prompts().critique, 128, JudgeConfig(model=model).flaws).request(LONGEST, SQUARE).messages
        )
        == critique.tokens - critique.reply_tokens
    )
    assert summary.pictures == 0 and summary.reply_tokens == 200


def test_without_data_names_are_as_long_as_they_may_be(tiny_judge: Callable[[str], str]) -> None:
    short = measure(tiny_judge("llava"), max_name_chars=120)
    (stand_in,) = short.longest_names([])
    assert 110 < len(stand_in) <= 120
    assert short.longest_names(["b", "", " \n", "a b c d e f", "b"]) == ["a b c d e f", "b"]


def test_each_comment_of_a_summary_costs_what_it_may_be_long(tiny_judge: Callable[[str], str]) -> None:
    own = measure(tiny_judge("llava"))
    more = own.summary(10).tokens - own.summary(0).tokens
    assert 10 * 128 < more < 10 * 128 + 10 * 4


def test_a_summary_s_prompt_that_shows_no_comments_has_none() -> None:
    mini = load(Config, "mini").judge
    own = Measure(mini, ImageConfig(resolution=64), ChatCounter(mini, 64))
    assert own.summary(10) == own.summary(0)
