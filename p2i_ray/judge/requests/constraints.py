"""The constraints that go with the prompts, as EBNF for engines and as JSON schemas for endpoints without grammars.

Members are generated in this order: reason and comment come first, so that they can still influence the verdict. After
a colon or a comma the model may write one space or none, as it was trained to: a JSON schema would force one style, or
let small models generate white space without end.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

SCORES: tuple[int, ...] = (1, 2, 3, 4, 5)
CHOICES: tuple[str, ...] = tuple(map(str, SCORES))
YES_OR_NO = ("yes", "no")
FIRST_OR_SECOND = ("first", "second")
_JSON = r"""
sp ::= " "?
text ::= "\"" char* "\""
char ::= [^"\\\x00-\x1f] | "\\" (["\\/bfnrt] | "u" hex hex hex hex)
hex ::= [0-9a-fA-F]
"""
_EMPTY = r"""
sp ::= " "?
text ::= "\"\""
"""


def choice_grammar(choices: Sequence[str]) -> str:
    """One of the choices, with one space before it or none.

    For models of SentencePiece, which write "▁" or "▁4" where an answer begins: without the space they would be forced
    to a token that never stands there, whose probabilities say little.
    """
    return f'root ::= " "? ({" | ".join(map(json.dumps, choices))})'


def rating_grammar(text: bool = True) -> str:
    """A reason and a score; without `text`, the reason is empty."""
    return rf"""
root ::= "{{\"reason\":" sp text "," sp "\"score\":" sp score "}}"
score ::= {" | ".join(map(json.dumps, CHOICES))}
{_JSON if text else _EMPTY}"""


def rating_schema(text: bool = True) -> dict[str, Any]:
    """The same as a JSON schema."""
    return _object({"reason": _text(text), "score": {"type": "integer", "enum": list(SCORES)}})


def critique_grammar(flaws: Sequence[str], text: bool = True) -> str:
    """A comment and names of flaws, at most all of them; without `text`, the comment is empty."""
    return rf"""
root ::= "{{\"comment\":" sp text "," sp "\"flaws\":" sp "[" (flaw ("," sp flaw){{0,{len(flaws) - 1}}})? "]}}"
flaw ::= {" | ".join(json.dumps(json.dumps(name)) for name in flaws)}
{_JSON if text else _EMPTY}"""


def critique_schema(flaws: Sequence[str], text: bool = True) -> dict[str, Any]:
    """The same as a JSON schema."""
    named = {"type": "array", "items": {"type": "string", "enum": list(flaws)}}
    return _object({"comment": _text(text), "flaws": named})


def _text(free: bool) -> dict[str, Any]:
    return {"type": "string"} if free else {"type": "string", "enum": [""]}


def _object(members: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}
