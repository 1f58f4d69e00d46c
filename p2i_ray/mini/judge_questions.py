"""The tiny judge's questions, and the answers that it is trained to give.

Without feedback it is lenient: some text, some clutter or a wrong scene alone cost one point. Each flaw that the
feedback names costs its full penalty and at least two points: feedback makes the selection strict, as in the paper's
loop.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from p2i_ray.judge.requests.prompts import (
    Exemplar,
    Message,
    Prompts,
    critique_messages,
    load_prompts,
    score_messages,
    summary_messages,
)
from p2i_ray.mini.judge_model import TOKENS
from p2i_ray.mini.world import FLAWS, PENALTIES, RIGHT_SCENE, Sample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PROMPTS = Path(__file__).parent / "prompts"
PICTURE = {"type": "image"}
LENIENT = {
    "wrong scene": (1, 1),
    "text overlay": (1, 3),
    "clutter": (1, 3),
}  # points off where no feedback names the flaw
WORDS = {"text overlay": ("text", "much text"), "clutter": ("clutter", "much clutter"), "blur": ("blur", "strong blur")}
NAMED_IN_SUMMARY = 10  # per cent of the criticised pictures from which on a flaw enters the feedback
# Phrases that are not in the judge's own summaries: a person may write the feedback.
ASIDES = ("", "", "", "please avoid ", "too much ", "no ")


@dataclass(frozen=True)
class Question:
    """A chat and its answer; `weight` is that of the answer in the loss."""

    messages: list[Message]
    answer: str
    weight: float = 1.0


@cache
def prompts() -> Prompts:
    """The prompts of the mini preset, read once."""
    return load_prompts(PROMPTS)


def score(flaws: Mapping[str, int], named: Collection[str] = ()) -> int:
    """The score 1..5 that the judge should give when the feedback names `named`."""
    off = 0
    for flaw, level in flaws.items():
        full = PENALTIES[flaw][level - 1]
        off += max(2, full) if flaw in named else LENIENT.get(flaw, PENALTIES[flaw])[level - 1]
    return max(1, 5 - off)


def comment(sample: Sample) -> str:
    """The judge's reason, before its score: "kitchen, fits beach, wrong scene; much text".

    The verdict on the scene directly follows the two scenes, where a small model compares them easily.
    """
    verdict = next((flaw for flaw in FLAWS[:2] if flaw in sample.flaws), "right scene")
    seen = [WORDS[flaw][level - 1] for flaw, level in sample.flaws.items() if flaw in WORDS]
    return f"{sample.scene}, fits {RIGHT_SCENE[sample.category]}, {verdict}; {', '.join(seen) or 'fine'}"


def feedback_text(named: Collection[str], rng: np.random.Generator) -> str:
    """A feedback text that names `named` in any order, mostly in the form of a summary: "clutter, wrong scene"."""
    if not named:
        return "nothing" if rng.random() < 0.1 else ""
    order = [sorted(named)[i] for i in rng.permutation(len(named))]
    if rng.random() < 0.75:
        return ", ".join(order)
    glue = ("; ", " and ", "\n", ", ")[int(rng.integers(4))]
    text = glue.join(ASIDES[int(rng.integers(len(ASIDES)))] + flaw for flaw in order)
    return text.capitalize() + "." if rng.random() < 0.3 else text


def draw_named(sample: Sample, rng: np.random.Generator) -> list[str]:
    """Draw flaws for a feedback to name: one, some or all; a single one is often one that the sample has."""
    kind = rng.random()
    if kind < 0.35 and sample.flaws:
        return [list(sample.flaws)[int(rng.integers(len(sample.flaws)))]]
    if kind < 0.55:
        return [FLAWS[int(rng.integers(len(FLAWS)))]]
    if kind < 0.7:
        return list(FLAWS)
    return [flaw for flaw in FLAWS if rng.random() < 0.5]


def score_question(sample: Sample, named: Collection[str], text: str, reasoned: bool = False) -> Question:
    """R(x, p_R, f): the score, or a reason and the score."""
    given = score(sample.flaws, named)
    answer = f'{{"reason":{json.dumps(comment(sample))},"score":{given}}}' if reasoned else str(given)
    return Question(
        score_messages(prompts().score, sample.name, PICTURE, feedback=text, reasoned=reasoned),
        answer,
        2.0 if reasoned else 5.0,
    )


def exemplar_question(sample: Sample, shown: Collection[Sample], named: Collection[str], text: str) -> Question:
    """R with exemplars c_R: the score after other pictures that were scored by the same rule."""
    exemplars = [Exemplar(name=other.name, image_part=PICTURE, score=score(other.flaws, named)) for other in shown]
    messages = score_messages(prompts().score, sample.name, PICTURE, feedback=text, exemplars=exemplars)
    return Question(messages, str(score(sample.flaws, named)), 5.0)


def critique_question(sample: Sample) -> Question:
    """F(x, p_F): comment, then the flaws by name."""
    answer = (
        f'{{"comment":{json.dumps(comment(sample))},"flaws":{json.dumps(list(sample.flaws), separators=(",", ":"))}}}'
    )
    return Question(critique_messages(prompts().critique, sample.name, PICTURE), answer, 3.0)


def summary_question(rng: np.random.Generator) -> Question:
    """SUM(·, p_S): the flaws of at least ten per cent in a drawn tally, in its order; "nothing" if there are none."""
    shares = rng.choice([0, 1, 2, 3, 5, 7, 9, 10, 11, 12, 100], 5) if rng.random() < 0.3 else rng.integers(0, 101, 5)
    low = rng.random(5) < rng.random()
    shares = np.where(low, rng.integers(0, 10, 5), shares)
    order = sorted(range(5), key=lambda i: (-shares[i], i))
    tally = "\n".join(f"{FLAWS[i]}: {shares[i]} %" for i in order)
    answer = ", ".join(FLAWS[i] for i in order if shares[i] >= NAMED_IN_SUMMARY) or "nothing"
    return Question(summary_messages(prompts().summary, tally, ""), answer)


def questions(samples: list[Sample], step: int, rng: np.random.Generator) -> list[tuple[Question, list[int]]]:
    """The questions about a batch, each with the indices of the pictures that it shows."""
    asked: list[tuple[Question, list[int]]] = []
    for i, sample in enumerate(samples):
        asked.append((critique_question(sample), [i]))
        for kind in ("plain", "named", "reasoned"):
            named = [] if kind == "plain" or (kind == "reasoned" and rng.random() < 0.4) else draw_named(sample, rng)
            if kind == "reasoned" and i % 2:
                continue
            asked.append((score_question(sample, named, feedback_text(named, rng), kind == "reasoned"), [i]))
    if step % 4 == 0:  # after exemplars: longer, so fewer
        for i in range(8):
            shown = [int(j) for j in rng.integers(0, len(samples), int(rng.integers(1, 4)))]
            named = draw_named(samples[i], rng) if rng.random() < 0.6 else []
            question = exemplar_question(samples[i], [samples[j] for j in shown], named, feedback_text(named, rng))
            asked.append((question, [*shown, i]))
    return asked + [(summary_question(rng), []) for _ in range(8)]


def chat_ids(tokenizer: PreTrainedTokenizerFast, messages: list[Message]) -> list[int]:
    """The prompt's token ids up to the answer, each picture as `TOKENS` image tokens."""
    text = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    text = text.replace("<|image_pad|>", "<|image_pad|>" * TOKENS)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def question_ids(tokenizer: PreTrainedTokenizerFast, question: Question) -> tuple[list[int], int]:
    """The token ids of prompt and answer, and the index at which the answer starts."""
    prompt = chat_ids(tokenizer, question.messages)
    answer = tokenizer(question.answer + "<|im_end|>", add_special_tokens=False)["input_ids"]
    return prompt + answer, len(prompt)
