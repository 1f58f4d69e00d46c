"""Parsing of the judge's replies: scores with their probabilities, and critiques.

Text and numbers only, independent of the engine. The engine constrains its replies, so a reply that can't be parsed was
truncated, or comes from an engine that ignores the constraint.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from p2i_ray.judge.requests.constraints import CHOICES, SCORES, YES_OR_NO

FENCED = re.compile(r"\s*```(?:json)?\s*(.*)```\s*", re.DOTALL)  # chat models often wrap JSON like this
SCORE_BEGINS = re.compile(r'"score"[\s▁]*:[\s▁]*(?=[0-9])')  # in a reply in JSON, as its tokens spell it

# A reply that was cut: its first member, as far as it got.
CUT = re.compile(r'\s*(?:```(?:json)?\s*)?\{\s*"(reason|comment)"\s*:\s*"((?:[^"\\]|\\.)*)', re.DOTALL)
ESCAPE_BEGUN = re.compile(r"\\(u[0-9a-fA-F]{0,3})?$")
ELLIPSIS = "…"


class ReplyError(ValueError):
    """A reply that can't be parsed; the text is the reason why its row is set aside."""


class Step(NamedTuple):
    """One decoding step: the generated token and its alternatives."""

    token: str
    alternatives: Sequence[tuple[str, float]]  # (token, natural log of its probability), the generated one among them


class Rating(NamedTuple):
    """The score of a sample, R(x, …)."""

    score: int  # 1..5, the generated one, which is the most probable
    expected_score: float | None  # sum of k p(k), 1..5; none: probabilities were not requested
    entropy: float | None  # of p over the five scores, nats, 0..ln 5; none: as above
    reason: str | None


class Critique(NamedTuple):
    """The flaws of one picture, F(x, …)."""

    flaws: list[str]  # from the list, without duplicates
    comment: str


def digit_step(steps: Iterable[Step]) -> Step | None:
    """The step whose token has the score's digit: the one after "score": in JSON, else the last with a digit.

    Endpoints without a constraint may give the score before the reason, or more members than were asked for.
    """
    taken = list(steps)
    begun = [found.end() for found in SCORE_BEGINS.finditer("".join(step.token for step in taken))]
    ends = itertools.accumulate(len(step.token) for step in taken)
    if begun:
        return next(step for step, end in zip(taken, ends, strict=True) if end > begun[-1])
    return next((step for step in reversed(taken) if re.search(r"[0-9]", step.token)), None)


def first_step(steps: Iterable[Step]) -> Step | None:
    """The first step whose token is not white space: that in which a reply of one word chooses it."""
    return next((step for step in steps if step.token.strip(" \n\t▁")), None)


def read_yes(step: Step | None) -> float:
    """The probability of "yes" in an answer that is yes or no, 0..1; see `read_first_word`."""
    return read_first_word(step, YES_OR_NO)


def read_first_word(step: Step | None, words: tuple[str, str]) -> float:
    """The probability of the first of two words in an answer that is one of them, 0..1.

    Tokenizers differ: a token may begin with a space or a capital, and may be a part of the word. So an alternative
    counts for the word that begins with it, and the two words' probabilities are normalised to sum to one.

    Args:
        step: the first token of the answer, with its alternatives.
        words: that begin with different letters.

    Raises:
        ReplyError: it has none, or neither word is among them.
    """
    if step is None:
        raise ReplyError(f"no probabilities of {words[0]} and {words[1]} came with the reply")
    weights = dict.fromkeys(words, 0.0)
    for token, logprob in step.alternatives:
        begun = token.strip(" \n\t▁").lower()
        for word in words:
            if begun and word.startswith(begun) and not math.isnan(logprob):
                weights[word] += math.exp(logprob)
    total = sum(weights.values())
    if not total:
        raise ReplyError(f"neither {words[0]} nor {words[1]} is an alternative of the reply {_short(step.token)}")
    return weights[words[0]] / total


def read_score(text: str, step: Step | None, scores_only: bool = False) -> Rating:
    """Parse a reply that is one digit.

    Args:
        text: the reply; white space around the digit is ignored, since some tokenizers produce it.
        step: the digit's token with its alternatives.
        scores_only: the endpoint returns no probabilities; expected score and entropy are None.

    Raises:
        ReplyError: it isn't one of the five digits, or has no probabilities.
    """
    if text.strip() not in CHOICES:
        raise ReplyError(f"the reply {_short(text)} is not a score from 1 to 5")
    return _rating(int(text), step, None, scores_only)


def read_reasoned_score(text: str, step: Step | None, truncated: bool = False, scores_only: bool = False) -> Rating:
    """Parse a reply that follows `constraints.rating_grammar`.

    Args:
        text: the reply.
        step: the token that holds the score, with its alternatives.
        truncated: the reply reached max_tokens.
        scores_only: see read_score.

    Raises:
        ReplyError: it doesn't follow the grammar, or has no probabilities.
    """
    values = _values(text, ("reason", "score"), truncated)
    score, reason = values["score"], values["reason"]
    if type(score) is not int or score not in SCORES:
        raise ReplyError(f"the reply's score {_short(score)} is not one from 1 to 5")
    if not isinstance(reason, str):
        raise ReplyError(f"the reply's reason {_short(reason)} is not text")
    return _rating(score, step, reason.strip(), scores_only)


def read_critique(text: str, known: Collection[str], truncated: bool = False) -> Critique:
    """Parse a reply that follows `constraints.critique_grammar`; a flaw that is named twice counts once.

    Args:
        text: the reply.
        known: the flaws on the list.
        truncated: the reply reached max_tokens.

    Raises:
        ReplyError: it doesn't follow the grammar, or names a flaw that isn't on the list.
    """
    values = _values(text, ("comment", "flaws"), truncated)
    flaws, comment = values["flaws"], values["comment"]
    if not isinstance(comment, str):
        raise ReplyError(f"the reply's comment {_short(comment)} is not text")
    if not isinstance(flaws, list) or any(flaw not in known for flaw in flaws):
        raise ReplyError(f"the reply's flaws {_short(flaws)} are not all on the list")
    return Critique(list(dict.fromkeys(flaws)), comment.strip())


def read_cut(text: str) -> str | None:
    """The reason or comment of a reply that was cut, with an ellipsis where it is the text itself that was cut.

    None: the reply doesn't begin with one.
    """
    found = CUT.match(text)
    if not found:
        return None
    whole = text[found.end() : found.end() + 1] == '"'
    try:
        read = str(json.loads('"' + ESCAPE_BEGUN.sub("", found[2]) + '"', strict=False)).strip()
    except json.JSONDecodeError:
        return None
    return read if whole else f"{read.rpartition(' ')[0] or read}{ELLIPSIS}"


def probabilities(step: Step) -> dict[int, float]:
    """p(k) of the five scores at a token with a digit, normalised to sum to one.

    Tokenizers differ: the digit may come with a space or a quotation mark, and several tokens may decode to the same
    text. So an alternative counts for k if it equals the generated token with its digit replaced by k.

    Raises:
        ReplyError: none of the alternatives is a score.
    """
    generated = step.token.strip()
    read_as = {re.sub(r"[0-9]", choice, generated): int(choice) for choice in CHOICES}
    logprobs: dict[int, list[float]] = {score: [] for score in SCORES}
    for token, logprob in step.alternatives:
        if (score := read_as.get(token.strip())) is not None and logprob > -math.inf:
            logprobs[score].append(logprob)
    highest = max((logprob for found in logprobs.values() for logprob in found), default=None)
    if highest is None or math.isnan(highest):
        raise ReplyError(f"no probabilities of the scores came with the reply {_short(generated)}")
    weights = {score: sum(math.exp(logprob - highest) for logprob in found) for score, found in logprobs.items()}
    total = sum(weights.values())
    return {score: weight / total for score, weight in weights.items()}


def _rating(score: int, step: Step | None, reason: str | None, scores_only: bool) -> Rating:
    if scores_only:
        return Rating(score, None, None, reason)
    if step is None:
        raise ReplyError("no probabilities of the scores came with the reply")
    if str(score) not in step.token:
        raise ReplyError(f"the probabilities of {_short(step.token)} came with the reply, not of its score {score}")
    p = probabilities(step)
    expected = sum(k * probability for k, probability in p.items())
    entropy = -sum(probability * math.log(probability) for probability in p.values() if probability > 0)
    return Rating(score, expected, max(0.0, entropy), reason)


def _values(text: str, keys: tuple[str, ...], truncated: bool) -> dict[str, Any]:
    fenced = FENCED.fullmatch(text)
    try:
        values = json.loads(fenced[1] if fenced else text)
    except (json.JSONDecodeError, RecursionError):
        reason = "was truncated at max_tokens" if truncated else "is not JSON"
        raise ReplyError(f"the reply {_short(text)} {reason}") from None
    if not isinstance(values, dict) or any(key not in values for key in keys):
        raise ReplyError(f"the reply {_short(text)} lacks {' or '.join(keys)}")
    return values


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}…"
