"""From a sample to the judge's request, and from the reply to the row's columns: score (R) and critique (F)."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from p2i_ray.judge.requests import constraints, flaws, parsing
from p2i_ray.judge.requests.prompts import (
    Exemplar,
    Message,
    Prompt,
    critique_messages,
    rest_messages,
    score_messages,
)

SCORES = pa.schema(
    [
        ("id", pa.string()),
        ("score", pa.int64()),  # 1..5; null: set aside
        ("expected_score", pa.float64()),  # 1..5
        ("entropy", pa.float64()),  # nats
        ("reason", pa.string()),  # null unless the judge was asked for one
        ("error", pa.string()),  # reason why the row was set aside; null: judged
    ]
)
CRITIQUES = pa.schema(
    [("id", pa.string()), ("flaws", pa.list_(pa.string())), ("comment", pa.string()), ("error", pa.string())]
)


@dataclass(frozen=True)
class ChatRequest:
    """One chat for an engine or an endpoint, with its pictures and the constraint on the reply."""

    messages: list[Message]  # a picture is the part {"type": "image", "image": its encoded bytes}
    max_tokens: int
    choice: tuple[str, ...] | None = None  # the reply is one of these
    grammar: str | None = None  # EBNF that the reply follows
    json_schema: dict[str, Any] | None = None  # the same constraint, for endpoints without grammars
    probabilities: bool = False  # also return the decoding step that decides; see `deciding_step`

    def deciding_step(self, steps: Iterable[parsing.Step]) -> parsing.Step | None:
        """The step of a reply whose alternatives matter: the last digit's, or the first of a word to choose."""
        is_word = self.choice is not None and not self.choice[0].isdigit()
        return parsing.first_step(steps) if is_word else parsing.digit_step(steps)


@dataclass(frozen=True)
class Reply:
    """The text that an engine or an endpoint generated."""

    text: str
    truncated: bool = False  # max_tokens was reached
    step: parsing.Step | None = None


class JudgeTask(Protocol):
    """One kind of request about a picture, and the table of its answers."""

    @property
    def schema(self) -> pa.Schema:
        """The columns of the answers' table."""
        ...

    def request(self, name: str, picture: bytes, cutout: bytes | None = None) -> ChatRequest:
        """The request about one sample; with a cutout, that is shown, too."""
        ...

    def rest(self, request: ChatRequest, reply: Reply) -> ChatRequest | None:
        """The request for what a reply lacks that was cut in its reason or comment; none: nothing can be made of it."""
        ...

    def columns(self, reply: Reply, rest: Reply | None = None) -> dict[str, Any]:
        """The reply as the row's columns without id and error.

        Args:
            reply: to the request.
            rest: where the reply was cut, the reply to `rest`.

        Raises:
            ReplyError: the reply can't be read.
        """
        ...


@dataclass(frozen=True)
class ScoreTask:
    """R(x, p_R, c_R, f): Eq. 6, and Eq. 8 once there is feedback."""

    prompt: Prompt
    feedback: str = ""
    exemplars: tuple[Exemplar, ...] = ()
    max_reason_tokens: int | None = None  # none: one digit, no reason
    scores_only: bool = False  # the endpoint returns no probabilities: no expected score, no entropy
    cap: int = 3  # highest score of a picture that shows a mistake which the feedback names
    schema: pa.Schema = field(default=SCORES, repr=False)

    def request(self, name: str, picture: bytes, cutout: bytes | None = None) -> ChatRequest:
        """A request for one digit, or for a reason and the digit; with all five probabilities unless scores_only."""
        reasoned = self.max_reason_tokens is not None
        messages = score_messages(
            self.prompt,
            name,
            image_part(picture),
            cutout=None if cutout is None else image_part(cutout),
            feedback=self.feedback,
            cap=self.cap,
            exemplars=self.exemplars,
            reasoned=reasoned,
        )
        if self.max_reason_tokens is None:
            return ChatRequest(messages, 1, choice=constraints.CHOICES, probabilities=not self.scores_only)
        return ChatRequest(
            messages,
            self.max_reason_tokens,
            grammar=constraints.rating_grammar(),
            json_schema=constraints.rating_schema(),
            probabilities=not self.scores_only,
        )

    def rest(self, request: ChatRequest, reply: Reply) -> ChatRequest | None:
        """A request for the score of which the cut reply gives the reason."""
        reason = None if self.max_reason_tokens is None else parsing.read_cut(reply.text)
        if reason is None:
            return None
        return ChatRequest(
            rest_messages(request.messages, reason),
            _room(request, ""),
            grammar=constraints.rating_grammar(text=False),
            json_schema=constraints.rating_schema(text=False),
            probabilities=request.probabilities,
        )

    def columns(self, reply: Reply, rest: Reply | None = None) -> dict[str, Any]:
        """The columns score, expected_score, entropy and reason."""
        if self.max_reason_tokens is None:
            return parsing.read_score(reply.text, reply.step, self.scores_only)._asdict()
        read = rest or reply
        rating = parsing.read_reasoned_score(read.text, read.step, read.truncated, self.scores_only)
        return (rating._replace(reason=parsing.read_cut(reply.text)) if rest else rating)._asdict()


@dataclass(frozen=True)
class CritiqueTask:
    """F(x, I, p_F) of Eq. 7."""

    prompt: Prompt
    max_tokens: int
    flaws: tuple[str, ...]  # as judge.flaws has them
    schema: pa.Schema = field(default=CRITIQUES, repr=False)

    def request(self, name: str, picture: bytes, cutout: bytes | None = None) -> ChatRequest:
        """A request for a comment, then for flaws from the list."""
        messages = critique_messages(
            self.prompt,
            name,
            image_part(picture),
            cutout=None if cutout is None else image_part(cutout),
            flaws=flaws.listed(self.flaws),
        )
        known = flaws.names(self.flaws)
        return ChatRequest(
            messages,
            self.max_tokens,
            grammar=constraints.critique_grammar(known),
            json_schema=constraints.critique_schema(known),
        )

    def rest(self, request: ChatRequest, reply: Reply) -> ChatRequest | None:
        """A request for the flaws of which the cut reply gives the comment."""
        comment, known = parsing.read_cut(reply.text), flaws.names(self.flaws)
        if comment is None:
            return None
        return ChatRequest(
            rest_messages(request.messages, comment),
            _room(request, json.dumps(known)),
            grammar=constraints.critique_grammar(known, text=False),
            json_schema=constraints.critique_schema(known, text=False),
        )

    def columns(self, reply: Reply, rest: Reply | None = None) -> dict[str, Any]:
        """The columns flaws and comment."""
        read = rest or reply
        critique = parsing.read_critique(read.text, flaws.names(self.flaws), read.truncated)
        return (critique._replace(comment=parsing.read_cut(reply.text) or "") if rest else critique)._asdict()


def _room(request: ChatRequest, verdict: str) -> int:
    """Tokens for a reply to `rest`: a token has at least a character; endpoints without constraints may write more."""
    return 2 * request.max_tokens + 32 + len(verdict)


def image_part(picture: bytes) -> dict[str, Any]:
    """An encoded picture as a content part, raw: no base64 on the way to the engine."""
    return {"type": "image", "image": picture}


def clean_name(name: str | None, max_chars: int) -> str:
    """A product name on one line, without control characters, at most max_chars long; empty if nothing is left."""
    if not name:
        return ""
    kept = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in name)
    return " ".join(kept.split())[:max_chars].rstrip()
