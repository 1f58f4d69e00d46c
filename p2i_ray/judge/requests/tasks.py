"""From a row to the judge's question and from its reply to the row's columns: score (R) and critique (F)."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from p2i_ray.judge.requests import parsing
from p2i_ray.judge.requests.prompts import Exemplar, Message, Prompt, critique_messages, score_messages

SCORES = pa.schema(
    [
        ("id", pa.string()),
        ("score", pa.int64()),  # 1..5; null: set aside
        ("expected_score", pa.float64()),  # 1..5
        ("entropy", pa.float64()),  # nats
        ("reason", pa.string()),  # null unless the judge was asked for one
        ("error", pa.string()),  # why the row was set aside; null: it was not
    ]
)
CRITIQUES = pa.schema(
    [("id", pa.string()), ("flaws", pa.list_(pa.string())), ("comment", pa.string()), ("error", pa.string())]
)


@dataclass(frozen=True)
class ChatRequest:
    """What an engine or an endpoint is asked: a chat, its pictures, and how to write the reply."""

    messages: list[Message]  # a picture is the part {"type": "image", "image": its encoded bytes}
    max_tokens: int
    choice: tuple[str, ...] | None = None  # the reply is one of these
    form: str | None = None  # the reply keeps to this grammar (EBNF)
    json_schema: dict[str, Any] | None = None  # the same form, for endpoints that know no grammars
    probabilities: bool = False  # also hand back the step with the last digit


@dataclass(frozen=True)
class Reply:
    """What an engine answered."""

    text: str
    cut: bool = False  # the longest length was reached
    step: parsing.Step | None = None


class JudgeTask(Protocol):
    """One kind of question about a picture."""

    @property
    def schema(self) -> pa.Schema:
        """The columns of its table."""
        ...

    def question(self, name: str, picture: bytes) -> ChatRequest:
        """The question about one sample."""
        ...

    def columns(self, reply: Reply) -> dict[str, Any]:
        """The reply as the row's columns, less id and error; ReplyError if it means nothing."""
        ...


@dataclass(frozen=True)
class ScoreTask:
    """R(x, p_R, c_R, f): Eq. 6, and Eq. 8 once there is feedback."""

    prompt: Prompt
    feedback: str = ""
    exemplars: tuple[Exemplar, ...] = ()
    max_reason_tokens: int | None = None  # none: one digit, no reason
    scores_only: bool = False  # who answers tells no probabilities: no expected score, no entropy
    schema: pa.Schema = field(default=SCORES, repr=False)

    def question(self, name: str, picture: bytes) -> ChatRequest:
        """One constrained digit, or a reason and the digit; with the probabilities of all five if they can be had."""
        reasoned = self.max_reason_tokens is not None
        messages = score_messages(self.prompt, name, image_part(picture), self.feedback, self.exemplars, reasoned)
        if self.max_reason_tokens is None:
            return ChatRequest(messages, 1, choice=parsing.CHOICES, probabilities=not self.scores_only)
        return ChatRequest(
            messages,
            self.max_reason_tokens,
            form=parsing.RATING_FORM,
            json_schema=parsing.RATING_SCHEMA,
            probabilities=not self.scores_only,
        )

    def columns(self, reply: Reply) -> dict[str, Any]:
        """score, expected_score, entropy, reason."""
        if self.max_reason_tokens is None:
            return parsing.read_score(reply.text, reply.step, self.scores_only)._asdict()
        return parsing.read_reasoned_score(reply.text, reply.step, reply.cut, self.scores_only)._asdict()


@dataclass(frozen=True)
class CritiqueTask:
    """F(x, I, p_F) of Eq. 7."""

    prompt: Prompt
    max_tokens: int
    schema: pa.Schema = field(default=CRITIQUES, repr=False)

    def question(self, name: str, picture: bytes) -> ChatRequest:
        """A comment, then flaws of the list."""
        messages = critique_messages(self.prompt, name, image_part(picture))
        return ChatRequest(messages, self.max_tokens, form=parsing.CRITIQUE_FORM, json_schema=parsing.CRITIQUE_SCHEMA)

    def columns(self, reply: Reply) -> dict[str, Any]:
        """flaws, comment."""
        return parsing.read_critique(reply.text, reply.cut)._asdict()


def image_part(picture: bytes) -> dict[str, Any]:
    """An encoded picture as a part of a message, raw: no base64 on the way to the engine."""
    return {"type": "image", "image": picture}


def clean_name(name: str | None, max_chars: int) -> str:
    """A product name on one line, without control characters, not too long; empty if nothing is left of it."""
    if not name:
        return ""
    kept = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in name)
    return " ".join(kept.split())[:max_chars].rstrip()
