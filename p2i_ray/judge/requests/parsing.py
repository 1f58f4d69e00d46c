"""What the judge's replies mean: scores with their probabilities, and critiques.

Pure text and numbers: nothing here knows an engine. The engine constrains its replies to the right form, so a reply
that can't be read is a reply that was cut, or an engine that doesn't keep the constraint.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from p2i_ray.judge.requests.flaws import FLAWS

SCORES: tuple[int, ...] = (1, 2, 3, 4, 5)
CHOICES: tuple[str, ...] = tuple(map(str, SCORES))
FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*)```\s*", re.DOTALL)  # how chat models like to wrap JSON

# The constraints that go with the prompts, as EBNF. The order of the members is the order of writing: the reason and
# the comment come first, so that they can still change the verdict. After a colon or a comma a model may put one space
# or none, as it learned to: a JSON schema would force one style, or let small models write white space for ever.
_JSON = r"""
sp ::= " "?
text ::= "\"" char* "\""
char ::= [^"\\\x00-\x1f] | "\\" (["\\/bfnrt] | "u" hex hex hex hex)
hex ::= [0-9a-fA-F]
"""
RATING_FORM = rf"""
root ::= "{{\"reason\":" sp text "," sp "\"score\":" sp score "}}"
score ::= {" | ".join(map(json.dumps, CHOICES))}
{_JSON}"""
CRITIQUE_FORM = rf"""
root ::= "{{\"comment\":" sp text "," sp "\"flaws\":" sp "[" (flaw ("," sp flaw){{0,{len(FLAWS) - 1}}})? "]}}"
flaw ::= {" | ".join(json.dumps(json.dumps(name)) for name in FLAWS)}
{_JSON}"""
# The same forms as JSON schemas, for endpoints that know no grammars; they write the members in this order too.
RATING_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "score": {"type": "integer", "enum": list(SCORES)}},
    "required": ["reason", "score"],
    "additionalProperties": False,
}
CRITIQUE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "comment": {"type": "string"},
        "flaws": {"type": "array", "items": {"type": "string", "enum": list(FLAWS)}},
    },
    "required": ["comment", "flaws"],
    "additionalProperties": False,
}


class ReplyError(ValueError):
    """A reply without a meaning; the text is the reason that the row is set aside with."""


class Step(NamedTuple):
    """One written token, and what else could have stood there."""

    token: str
    alternatives: Sequence[tuple[str, float]]  # (token, natural log of its probability), the written one among them


class Rating(NamedTuple):
    """R(x, …): a sample's score."""

    score: int  # 1..5, the one that was written, which is the most probable
    expected_score: float | None  # sum of k p(k), 1..5; none: there are no probabilities, and none were asked for
    entropy: float | None  # of p over the five scores, nats, 0..ln 5; none: as above
    reason: str | None


class Critique(NamedTuple):
    """F(x, …): one picture's flaws."""

    flaws: list[str]  # of FLAWS, none twice
    comment: str


def digit_step(steps: Iterable[Step]) -> Step | None:
    """The last token with a digit in it: the score, in both ways of asking for it."""
    found = None
    for step in steps:
        if re.search(r"[0-9]", step.token):
            found = step
    return found


def read_score(text: str, step: Step | None, scores_only: bool = False) -> Rating:
    """Read a reply that is one digit.

    Args:
        text: the reply; white space around the digit doesn't matter, some tokenizers write it.
        step: the digit's token with its alternatives.
        scores_only: whoever wrote it tells no probabilities; then none are wanted, and none come out.

    Raises:
        ReplyError: it isn't one of the five digits, or has no probabilities.
    """
    if text.strip() not in CHOICES:
        raise ReplyError(f"the reply {_short(text)} is not a score from 1 to 5")
    return _rating(int(text), step, None, scores_only)


def read_reasoned_score(text: str, step: Step | None, cut: bool = False, scores_only: bool = False) -> Rating:
    """Read a reply of the form RATING_FORM.

    Args:
        text: the reply.
        step: the token that holds the score, with its alternatives.
        cut: the reply reached its longest length.
        scores_only: see read_score.

    Raises:
        ReplyError: it has another form, or no probabilities.
    """
    values = _values(text, ("reason", "score"), cut)
    score, reason = values["score"], values["reason"]
    if type(score) is not int or score not in SCORES:
        raise ReplyError(f"the reply's score {_short(score)} is not one from 1 to 5")
    if not isinstance(reason, str):
        raise ReplyError(f"the reply's reason {_short(reason)} is not text")
    return _rating(score, step, reason.strip(), scores_only)


def read_critique(text: str, cut: bool = False) -> Critique:
    """Read a reply of the form CRITIQUE_FORM; a flaw that is named twice counts once.

    Raises:
        ReplyError: it has another form, or names a flaw that isn't on the list.
    """
    values = _values(text, ("comment", "flaws"), cut)
    flaws, comment = values["flaws"], values["comment"]
    if not isinstance(comment, str):
        raise ReplyError(f"the reply's comment {_short(comment)} is not text")
    if not isinstance(flaws, list) or any(flaw not in FLAWS for flaw in flaws):
        raise ReplyError(f"the reply's flaws {_short(flaws)} are not all on the list")
    return Critique(list(dict.fromkeys(flaws)), comment.strip())


def probabilities(step: Step) -> dict[int, float]:
    """p(k) of the five scores at a token that holds a digit, made to sum to one.

    Tokenizers differ: the digit may come with a space or a quotation mark, and several tokens may read the same. So
    an alternative counts for k if it reads as the written token does with its digit replaced by k.

    Raises:
        ReplyError: none of the alternatives is a score.
    """
    written = step.token.strip()
    read_as = {re.sub(r"[0-9]", choice, written): int(choice) for choice in CHOICES}
    logs: dict[int, list[float]] = {score: [] for score in SCORES}
    for token, log in step.alternatives:
        if (score := read_as.get(token.strip())) is not None and log > -math.inf:
            logs[score].append(log)
    highest = max((log for found in logs.values() for log in found), default=None)
    if highest is None or math.isnan(highest):
        raise ReplyError(f"no probabilities of the scores came with the reply {_short(written)}")
    weights = {score: sum(math.exp(log - highest) for log in found) for score, found in logs.items()}
    total = sum(weights.values())
    return {score: weight / total for score, weight in weights.items()}


def _rating(score: int, step: Step | None, reason: str | None, scores_only: bool) -> Rating:
    if scores_only:
        return Rating(score, None, None, reason)
    if step is None:
        raise ReplyError("no probabilities of the scores came with the reply")
    p = probabilities(step)
    expected = sum(k * share for k, share in p.items())
    entropy = -sum(share * math.log(share) for share in p.values() if share > 0)
    return Rating(score, expected, max(0.0, entropy), reason)


def _values(text: str, keys: tuple[str, ...], cut: bool) -> dict[str, Any]:
    fenced = FENCED.fullmatch(text)
    try:
        values = json.loads(fenced[1] if fenced else text)
    except (json.JSONDecodeError, RecursionError):
        why = "was cut at its longest length" if cut else "is not JSON"
        raise ReplyError(f"the reply {_short(text)} {why}") from None
    if not isinstance(values, dict) or any(key not in values for key in keys):
        raise ReplyError(f"the reply {_short(text)} lacks {' or '.join(keys)}")
    return values


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}…"
