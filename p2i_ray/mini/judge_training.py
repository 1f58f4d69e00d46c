"""Build the tiny judge from nothing: `python -m p2i_ray.mini.judge_training --out p2i_ray/mini/weights/judge`.

Stage 1 teaches the vision tower alone, with throw-away heads: what the scene is, and where text and clutter are.
Stage 2 teaches the whole model to answer, several questions a picture; only the answers enter the loss.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from p2i_ray.mini.judge_checks import Judge, check_judge, held_out, write_log
from p2i_ray.mini.judge_model import (
    hidden_states,
    load_judge,
    new_model,
    patches,
    save_judge,
    tower_features,
    train_tokenizer,
)
from p2i_ray.mini.judge_questions import (
    Question,
    critique_question,
    draw_named,
    exemplar_question,
    feedback_text,
    question_ids,
    score_question,
    summary_question,
)
from p2i_ray.mini.judge_softness import Softener
from p2i_ray.mini.judge_tower import TowerHeads, draw_batch
from p2i_ray.mini.world import CLEAN, Sample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration

SAVE_EVERY_S, SAY_EVERY_S = 240.0, 20.0


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train. The defaults take about half an hour on one core."""

    tower_steps: int = 700
    tower_batch: int = 64
    tower_rate: float = 1.5e-3
    steps: int = 1000
    batch: int = 48
    rate: float = 1.5e-3
    tower_share: float = 0.3  # the tower's learning rate in stage 2, as a share of `rate`
    tower_rest: int = 100  # steps of stage 2 in which the tower waits until the answers make some sense
    aux: float = 0.4  # weight of the tower's own loss in stage 2
    seed: int = 1


def questions(samples: list[Sample], step: int, rng: np.random.Generator) -> list[tuple[Question, list[int]]]:
    """What is asked about a batch, each with the pictures (numbers in the batch) it shows."""
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


def answer_loss(
    model: Qwen2_5_VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    features: torch.Tensor,
    asked: list[tuple[Question, list[int]]],
) -> torch.Tensor:
    """Weighted mean cross-entropy of the answers' tokens."""
    total, weight = features.new_zeros(()), 0.0
    encoded = [(*question_ids(tokenizer, question), question.weight, shown) for question, shown in asked]
    encoded.sort(key=lambda one: len(one[0]))
    for half in np.array_split(np.arange(len(encoded)), 3):  # of similar lengths: less padding
        part = [encoded[i] for i in half]
        hidden = hidden_states(model, [ids for ids, *_ in part], features, [shown for *_, shown in part])
        where = [(n, at - 1, ids[at], w) for n, (ids, start, w, _) in enumerate(part) for at in range(start, len(ids))]
        rows, columns, targets, weights = zip(*where, strict=True)
        logits = model.lm_head(hidden[torch.tensor(rows), torch.tensor(columns)]).float()  # (answer tokens, vocabulary)
        losses = functional.cross_entropy(logits, torch.tensor(targets), reduction="none")
        total = total + (losses * torch.tensor(weights)).sum()
        weight += sum(weights)
    return total / weight


class Clock:
    """Says how it goes every twenty seconds, and when to save."""

    def __init__(self) -> None:
        self.start = self._said = self._saved = time.monotonic()

    def say(self, text: str) -> None:
        if time.monotonic() - self._said > SAY_EVERY_S:
            self._said = time.monotonic()
            print(f"{(self._said - self.start) / 60:5.1f} min  {text}", flush=True)

    def save_now(self) -> bool:
        due = time.monotonic() - self._saved > SAVE_EVERY_S
        if due:
            self._saved = time.monotonic()
        return due


def train_tower(
    model: Qwen2_5_VLForConditionalGeneration, heads: TowerHeads, soften: Softener, plan: Schedule, clock: Clock
) -> None:
    """Stage 1."""
    parameters = [*model.model.visual.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, plan.tower_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warm_cosine(step, plan.tower_steps))
    for step in range(plan.tower_steps):
        samples, truth = draw_batch(step * plan.tower_batch, plan.tower_batch, plan.seed)
        with torch.autocast("cpu", torch.bfloat16):
            features = tower_features(model, patches(soften(samples, step)))
        loss = heads(features.float(), truth)
        take_step(loss, parameters, optimizer, schedule)
        clock.say(f"tower {step + 1}/{plan.tower_steps} loss {loss.item():.3f}")


def train_answers(
    model: Qwen2_5_VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    heads: TowerHeads,
    soften: Softener,
    plan: Schedule,
    clock: Clock,
    out: Path,
) -> None:
    """Stage 2."""
    tower = [*model.model.visual.parameters(), *heads.parameters()]
    groups: list[dict[str, Any]] = [
        {"params": list(model.model.language_model.parameters()), "lr": plan.rate},
        {"params": tower, "lr": plan.rate * plan.tower_share},
    ]
    everything = [parameter for group in groups for parameter in group["params"]]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warm_cosine(step, plan.steps))
    first = plan.tower_steps * plan.tower_batch
    for step in range(plan.steps):
        rng = np.random.default_rng([plan.seed, step])
        samples, truth = draw_batch(first + step * plan.batch, plan.batch, plan.seed)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.set_grad_enabled(step >= plan.tower_rest):
                features = tower_features(model, patches(soften(samples, plan.tower_steps + step)))
            answers = answer_loss(model, tokenizer, features, questions(samples, step, rng))
        seen = heads(features.float(), truth)
        take_step(answers + plan.aux * seen, everything, optimizer, schedule)
        clock.say(f"answers {step + 1}/{plan.steps} loss {answers.item():.3f}, tower {seen.item():.3f}")
        if clock.save_now():
            save_judge(model, tokenizer, out)


def warm_cosine(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / 40) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def take_step(
    loss: torch.Tensor,
    parameters: list[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    schedule.step()


def corpus(seed: int) -> list[str]:
    """What the tokenizer is trained on: a thousand pictures' questions and answers."""
    rng, texts = np.random.default_rng(seed), []
    for at in range(0, 1000, 100):
        samples, _ = draw_batch(at, 100, seed)
        for question, _ in questions(samples, 1, rng):
            texts += [
                part["text"] for message in question.messages for part in message["content"] if part["type"] == "text"
            ]
            texts += [question.answer, "system\n", "user\n", "assistant\n"]
    return texts


def build_judge(out: Path, vae: Path | None, plan: Schedule | None = None) -> dict[str, float]:
    """Train the judge and write its folder, with its figures in judge.md beside it.

    Args:
        out: the folder.
        vae: the painter's autoencoder (a diffusers folder), through which a third of the pictures go; else a stand-in.
    Returns:
        Processor minutes and figures (see `check_judge`).
    """
    plan, clock = plan or Schedule(), Clock()
    torch.set_num_threads(1)
    torch.manual_seed(plan.seed)
    tokenizer = train_tokenizer(corpus(plan.seed))
    model, soften = new_model(tokenizer, plan.seed), Softener(vae, plan.seed)
    heads = TowerHeads()
    model.train()
    train_tower(model, heads, soften, plan, clock)
    save_judge(model, tokenizer, out)
    train_answers(model, tokenizer, heads, soften, plan, clock, out)
    save_judge(model.eval(), tokenizer, out)
    minutes = time.process_time() / 60  # of the processor: other jobs on the machine do not count
    figures = {"minutes": minutes} | check_folder(out, vae)
    write_log(figures, out.with_suffix(".md"))
    return figures


def check_folder(folder: Path, vae: Path | None, count: int = 400) -> dict[str, float]:
    """The figures of a judge on disk, as it was rounded to fp16."""
    clean = held_out(count // 2, CLEAN, 30_000)
    soft = Softener(vae, 0, share=1.0)(clean, 0) if vae else None
    return check_judge(Judge(*load_judge(folder)), count, soft)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("p2i_ray/mini/weights/judge"), help="folder to write")
    parser.add_argument("--vae", type=Path, default=None, help="the painter's autoencoder folder")
    parser.add_argument("--tower-steps", type=int, default=Schedule.tower_steps, help="steps of stage 1")
    parser.add_argument("--steps", type=int, default=Schedule.steps, help="steps of stage 2")
    parser.add_argument("--seed", type=int, default=Schedule.seed, help="of weights, pictures and questions")
    args = parser.parse_args()
    plan = Schedule(tower_steps=args.tower_steps, steps=args.steps, seed=args.seed)
    print(json.dumps(build_judge(args.out, args.vae, plan), indent=1))


if __name__ == "__main__":
    main()
