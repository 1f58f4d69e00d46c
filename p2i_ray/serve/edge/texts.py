"""Texts that a client sent as JSON or in a form: whole characters, and fields that say nothing left out.

JSON can hold half of a surrogate pair, which UTF-8 cannot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from p2i_ray.serve.edge.errors import bad_request
from p2i_ray.serve.edge.forms import short


def given(fields: Mapping[str, Any], known: Collection[str] = ()) -> dict[str, Any]:
    """The fields that say something: null is as good as absent, and so is empty, except where a field is known.

    Clients send their whole type, with null or an empty list for what they leave out, and send answers back whole.
    """
    return {
        name: value
        for name, value in fields.items()
        if value is not None and (name in known or value not in ("", [], {}))
    }


def check_texts(content: Any) -> None:
    """Check every text and key of what was read from JSON.

    Raises:
        APIError: one has half of a surrogate pair, as programs leave it that cut a text in the middle of an emoji.
    """
    for text, path in _texts(content):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            where = ".".join(short(str(step)) for step in path)
            escape = ascii(text[error.start])[1:-1]
            message = f"has half of a character ({escape}); send whole ones, or cut the text before it"
            raise bad_request(f"{where}: {message}" if where else f"a text {message}", where or None) from None


def _texts(content: Any) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    """Every text and key with its path, however deep they lie."""
    left: list[tuple[Any, tuple[str | int, ...]]] = [(content, ())]
    while left:
        node, path = left.pop()
        if isinstance(node, str):
            yield node, path
        elif isinstance(node, dict):
            for key, value in node.items():
                yield key, (*path, key)
                left.append((value, (*path, key)))
        elif isinstance(node, list):
            left += [(value, (*path, index)) for index, value in enumerate(node)]
