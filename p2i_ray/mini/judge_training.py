"""Train the tiny judge from scratch: `python -m p2i_ray.mini.judge_training --out p2i_ray/mini/weights/judge`.

Stage 1 trains the vision tower alone, with temporary heads for the scene and the places of text and clutter. Stage 2
trains the whole model to answer several questions about each picture; only the answers enter the loss.
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
from p2i_ray.mini.judge_questions import Question, question_ids, questions
from p2i_ray.mini.judge_softness import Softener
from p2i_ray.mini.judge_tower import TowerHeads, draw_batch
from p2i_ray.mini.world import CLEAN

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration

SAVE_EVERY_S, LOG_EVERY_S = 240.0, 20.0


@dataclass(frozen=True)
class Schedule:
    """Steps and rates of the training. The defaults take about half an hour on one core."""

    tower_steps: int = 700
    tower_batch: int = 64
    tower_rate: float = 1.5e-3
    steps: int = 1000
    batch: int = 48
    rate: float = 1.5e-3
    tower_share: float = 0.3  # the tower's learning rate in stage 2, as a fraction of `rate`
    tower_rest: int = 100  # first steps of stage 2, in which the tower is frozen
    aux: float = 0.4  # weight of the tower's own loss in stage 2
    seed: int = 1


def answer_loss(
    model: Qwen2_5_VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    features: torch.Tensor,
    asked: list[tuple[Question, list[int]]],
) -> torch.Tensor:
    """The weighted mean cross-entropy of the answers' tokens."""
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
    """Logs progress every twenty seconds, and says when to save."""

    def __init__(self) -> None:
        self.start = self._logged = self._saved = time.monotonic()

    def log(self, text: str) -> None:
        """Print a line, unless one was printed a moment ago."""
        if time.monotonic() - self._logged > LOG_EVERY_S:
            self._logged = time.monotonic()
            print(f"{(self._logged - self.start) / 60:5.1f} min  {text}", flush=True)

    def save_now(self) -> bool:
        """Whether the last save was long ago; if so, this counts as the next one."""
        due = time.monotonic() - self._saved > SAVE_EVERY_S
        if due:
            self._saved = time.monotonic()
        return due


@dataclass(frozen=True)
class Training:
    """The model in training, and what trains it."""

    model: Qwen2_5_VLForConditionalGeneration
    tokenizer: PreTrainedTokenizerFast
    heads: TowerHeads
    soften: Softener
    plan: Schedule
    clock: Clock


def train_tower(training: Training) -> None:
    """Stage 1: train the vision tower alone."""
    plan, heads = training.plan, training.heads
    parameters = [*training.model.model.visual.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, plan.tower_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warm_cosine(step, plan.tower_steps))
    for step in range(plan.tower_steps):
        samples, truth = draw_batch(step * plan.tower_batch, plan.tower_batch, plan.seed)
        with torch.autocast("cpu", torch.bfloat16):
            features = tower_features(training.model, patches(training.soften(samples, step)))
        loss = heads(features.float(), truth)
        take_step(loss, parameters, optimizer, schedule)
        training.clock.log(f"tower {step + 1}/{plan.tower_steps} loss {loss.item():.3f}")


def train_answers(training: Training, out: Path) -> None:
    """Stage 2: train the whole model to answer, and save it to `out` from time to time."""
    model, tokenizer, plan = training.model, training.tokenizer, training.plan
    tower = [*model.model.visual.parameters(), *training.heads.parameters()]
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
                features = tower_features(model, patches(training.soften(samples, plan.tower_steps + step)))
            answers = answer_loss(model, tokenizer, features, questions(samples, step, rng))
        tower_loss = training.heads(features.float(), truth)
        take_step(answers + plan.aux * tower_loss, everything, optimizer, schedule)
        training.clock.log(f"answers {step + 1}/{plan.steps} loss {answers.item():.3f}, tower {tower_loss.item():.3f}")
        if training.clock.save_now():
            save_judge(model, tokenizer, out)


def warm_cosine(step: int, steps: int) -> float:
    """The learning rate's factor: a warm-up over 40 steps, then a cosine down to 0.02."""
    return min(1.0, (step + 1) / 40) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def take_step(
    loss: torch.Tensor,
    parameters: list[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    """Compute the gradients, clip them, and update."""
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    schedule.step()


def corpus(seed: int) -> list[str]:
    """The tokenizer's training texts: the questions and answers of a thousand pictures."""
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
    """Train the judge and write its folder, with its figures in judge.md next to it.

    Args:
        out: the folder.
        vae: the diffusion model's autoencoder (a diffusers folder), through which a third of the pictures go; None: a
            stand-in.
        plan: steps and rates; None: the defaults.

    Returns:
        CPU minutes and figures (see `check_judge`).
    """
    plan, clock = plan or Schedule(), Clock()
    torch.set_num_threads(1)
    torch.manual_seed(plan.seed)
    tokenizer = train_tokenizer(corpus(plan.seed))
    model, soften = new_model(tokenizer, plan.seed), Softener(vae, plan.seed)
    training = Training(model=model, tokenizer=tokenizer, heads=TowerHeads(), soften=soften, plan=plan, clock=clock)
    model.train()
    train_tower(training)
    save_judge(model, tokenizer, out)
    train_answers(training, out)
    model.train(False)
    save_judge(model, tokenizer, out)
    minutes = time.process_time() / 60  # CPU time: other jobs on the machine do not count
    figures = {"minutes": minutes} | check_folder(out, vae)
    write_log(figures, out.with_suffix(".md"))
    return figures


def check_folder(folder: Path, vae: Path | None, count: int = 400) -> dict[str, float]:
    """The figures of a judge on disk, rounded to fp16 as it is there."""
    clean = held_out(count // 2, CLEAN, 30_000)
    soft = Softener(vae, 0, share=1.0)(clean, 0) if vae else None
    return check_judge(Judge(*load_judge(folder)), count, soft)


def main() -> None:
    """Train the judge as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("p2i_ray/mini/weights/judge"), help="folder to write")
    parser.add_argument("--vae", type=Path, default=None, help="folder of the diffusion model's autoencoder")
    parser.add_argument("--tower-steps", type=int, default=Schedule.tower_steps, help="steps of stage 1")
    parser.add_argument("--steps", type=int, default=Schedule.steps, help="steps of stage 2")
    parser.add_argument("--seed", type=int, default=Schedule.seed, help="of weights, pictures and questions")
    args = parser.parse_args()
    plan = Schedule(tower_steps=args.tower_steps, steps=args.steps, seed=args.seed)
    print(json.dumps(build_judge(args.out, args.vae, plan), indent=1))


if __name__ == "__main__":
    main()
