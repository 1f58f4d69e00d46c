"""Measure a tiny judge on held-out pictures: its ranking, each flaw, and the effect of feedback."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from p2i_ray.judge.requests.prompts import Message
from p2i_ray.mini.judge_model import hidden_states, patches, tower_features
from p2i_ray.mini.judge_questions import chat_ids, critique_question, score_question, summary_question
from p2i_ray.mini.world import BALANCED, CLEAN, FLAWS, NATURAL, FlawMix, Sample, render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration

HELD_OUT = 990  # seed of the pictures that no training sees
SCORES = ("1", "2", "3", "4", "5")
LONGEST_ANSWER = 64  # tokens


class Judge:
    """The judge's answers in batches, with transformers alone (the product uses vLLM)."""

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration, tokenizer: PreTrainedTokenizerFast) -> None:
        self.model, self.tokenizer = model, tokenizer

    @torch.no_grad()
    def probabilities(self, chats: Sequence[list[Message]], images: np.ndarray) -> np.ndarray:
        """Probabilities of the scores 1..5 as the first answer token: (N, 5); one image (64, 64, 3) a chat."""
        digits = [self.tokenizer.convert_tokens_to_ids(score) for score in SCORES]
        found = [
            self._next(ids, pictures)[:, digits].softmax(-1).numpy() for ids, pictures in self._batches(chats, images)
        ]
        return np.concatenate(found)

    def expected(self, chats: Sequence[list[Message]], images: np.ndarray) -> np.ndarray:
        """The expected score: (N,)."""
        return np.asarray(self.probabilities(chats, images) @ np.arange(1, 6))

    @torch.no_grad()
    def answers(self, chats: Sequence[list[Message]], images: np.ndarray | None = None) -> list[str]:
        """Greedy answers, token by token, ended by <|im_end|>."""
        out: list[str] = []
        end = self.tokenizer.eos_token_id
        for ids, pictures in self._batches(chats, images):
            starts, running = [len(one) for one in ids], list(range(len(ids)))
            for _ in range(LONGEST_ANSWER):
                best = (
                    self._next([ids[i] for i in running], None if pictures is None else pictures[running])
                    .argmax(-1)
                    .tolist()
                )
                for i, token in zip(running, best, strict=True):
                    ids[i].append(token)
                running = [i for i, token in zip(running, best, strict=True) if token != end]
                if not running:
                    break
            out += [
                str(self.tokenizer.decode([t for t in one[start:] if t != end]))
                for one, start in zip(ids, starts, strict=True)
            ]
        return out

    def _batches(
        self, chats: Sequence[list[Message]], images: np.ndarray | None, size: int = 100
    ) -> list[tuple[list[list[int]], torch.Tensor | None]]:
        batches = []
        for at in range(0, len(chats), size):
            features = None if images is None else tower_features(self.model, patches(images[at : at + size]))
            batches.append(([chat_ids(self.tokenizer, chat) for chat in chats[at : at + size]], features))
        return batches

    def _next(self, ids: list[list[int]], features: torch.Tensor | None) -> torch.Tensor:
        """Logits of the token after each sequence: (N, vocabulary)."""
        shown = [[i] if features is not None else [] for i in range(len(ids))]
        hidden = hidden_states(self.model, ids, features, shown)
        last = hidden[torch.arange(len(ids)), torch.tensor([len(one) - 1 for one in ids])]
        logits: torch.Tensor = self.model.lm_head(last)
        return logits


def flaws_in(answer: str) -> list[str]:
    """The flaws that a critique names; empty if it is not the JSON that was requested."""
    try:
        named = json.loads(answer)["flaws"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return []
    return [flaw for flaw in named if flaw in FLAWS]


def area_under_curve(scores: np.ndarray, good: np.ndarray) -> float:
    """The probability that a good picture is scored above a bad one; ties count half."""
    above = scores[good][:, None] - scores[~good][None, :]
    return float((above > 0).mean() + 0.5 * (above == 0).mean())


def held_out(count: int, mix: FlawMix = NATURAL, start: int = 0) -> list[Sample]:
    """Pictures that no training sees."""
    return [render(HELD_OUT, start + i, mix) for i in range(count)]


def stack(samples: Sequence[Sample]) -> np.ndarray:
    """The samples' pictures, uint8 (N, 64, 64, 3)."""
    return np.stack([sample.image for sample in samples])


def check_judge(judge: Judge, count: int = 400, soft: np.ndarray | None = None) -> dict[str, float]:
    """Compute every figure of the judge's log.

    Args:
        judge: the judge.
        count: held-out pictures a check.
        soft: the clean held-out pictures (in the order of `held_out(len, CLEAN)`) after an autoencoder.
    """
    figures = _score_figures(judge, count) | _critique_figures(judge, count) | _feedback_figures(judge, count)
    clean = held_out(len(soft) if soft is not None else count // 2, CLEAN, 30_000)
    for label, images in (("clean", stack(clean)), *([("clean_vae", soft)] if soft is not None else [])):
        named = [flaws_in(answer) for answer in judge.answers([critique_question(s).messages for s in clean], images)]
        figures[f"{label}_called_clean"] = float(np.mean([not flaws for flaws in named]))
        for flaw in FLAWS:
            figures[f"{label}_called_{flaw.replace(' ', '_')}"] = float(np.mean([flaw in flaws for flaws in named]))
    rng = np.random.default_rng(HELD_OUT)
    summaries = [summary_question(rng) for _ in range(100)]
    said = judge.answers([question.messages for question in summaries])
    figures["summary_exact"] = float(np.mean([a == q.answer for a, q in zip(said, summaries, strict=True)]))
    return figures


def _score_figures(judge: Judge, count: int) -> dict[str, float]:
    samples = held_out(count)
    images, good = stack(samples), np.array([s.quality >= 4 for s in samples])
    figures: dict[str, float] = {}
    for label, named in (("none", ()), ("all", FLAWS), ("wrong+plain", FLAWS[:2])):
        chances = judge.probabilities([score_question(s, (), ", ".join(named)).messages for s in samples], images)
        kept = chances.argmax(1) + 1 >= 4
        figures[f"keep_{label}"], figures[f"keep_precision_{label}"] = float(kept.mean()), float(good[kept].mean())
        figures[f"keep_recall_{label}"] = float(kept[good].mean())
        figures[f"auc_{label}"] = area_under_curve(chances @ np.arange(1, 6), good)
    return figures


def _critique_figures(judge: Judge, count: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    for label, mix in (("natural", NATURAL), ("balanced", BALANCED)):
        samples = held_out(count, mix, 10_000)
        named = [
            flaws_in(answer)
            for answer in judge.answers([critique_question(s).messages for s in samples], stack(samples))
        ]
        for flaw in FLAWS:
            true, said = np.array([flaw in s.flaws for s in samples]), np.array([flaw in flaws for flaws in named])
            figures[f"recall_{label}_{flaw.replace(' ', '_')}"] = float(said[true].mean())
            figures[f"precision_{label}_{flaw.replace(' ', '_')}"] = float(true[said].mean()) if said.any() else 0.0
    return figures


def _feedback_figures(judge: Judge, count: int) -> dict[str, float]:
    """For each flaw, the fractions of pictures with it alone and of clean ones that are kept, unnamed and named."""
    singles = [s for s in held_out(8 * count, NATURAL, 20_000) if len(s.flaws) == 1]
    clean = held_out(count // 4, CLEAN, 20_000)
    figures: dict[str, float] = {}
    for flaw in FLAWS:
        only = [s for s in singles if flaw in s.flaws][: count // 4]
        for label, samples in ((flaw, only), (f"clean_with_{flaw}", clean)):
            for text in ("", flaw):
                chances = judge.probabilities([score_question(s, (), text).messages for s in samples], stack(samples))
                key = f"kept_{label}_{'named' if text else 'unnamed'}".replace(" ", "_")
                figures[key] = float((chances.argmax(1) + 1 >= 4).mean())
    return figures


def write_log(figures: dict[str, float], path: Path) -> None:
    """Write the figures as a small Markdown file."""

    def at(key: str) -> str:
        return f"{figures[key]:.2f}" if key in figures else "-"

    lines = [
        "# The tiny judge, measured on held-out pictures",
        "",
        "Made by `python -m p2i_ray.mini.judge_training`.",
        "",
    ]
    lines += [
        f"- Built in {figures['minutes']:.1f} minutes of one core."
        if "minutes" in figures
        else "- Build time not recorded."
    ]
    lines += [
        f"- Expected score, AUC of quality >= 4: {figures['auc_none']:.3f}; all flaws named: {figures['auc_all']:.3f}."
    ]
    lines += [
        f"- Summaries exact: {at('summary_exact')}.",
        "",
        "| feedback | kept | precision | recall |",
        "|---|---|---|---|",
    ]
    for label in ("none", "wrong+plain", "all"):
        lines += [
            f"| {label} | {at(f'keep_{label}')} | {at(f'keep_precision_{label}')} | {at(f'keep_recall_{label}')} |"
        ]
    lines += [
        "",
        "| flaw | recall | precision | balanced: recall | precision | kept unnamed | kept named | clean kept, named |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for flaw in FLAWS:
        f = flaw.replace(" ", "_")
        keys = [f"recall_natural_{f}", f"precision_natural_{f}", f"recall_balanced_{f}", f"precision_balanced_{f}"]
        keys += [f"kept_{f}_unnamed", f"kept_{f}_named", f"kept_clean_with_{f}_named"]
        lines += [f"| {flaw} | " + " | ".join(map(at, keys)) + " |"]
    lines += ["", "| clean pictures called | nothing | " + " | ".join(FLAWS) + " |", "|---|---|" + "---|" * len(FLAWS)]
    for label, title in (("clean", "as rendered"), ("clean_vae", "through the autoencoder")):
        lines += [
            f"| {title} | {at(f'{label}_called_clean')} | "
            + " | ".join(at(f"{label}_called_{f.replace(' ', '_')}") for f in FLAWS)
            + " |"
        ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
