"""Halves of UTF-16's pairs in text, which UTF-8 doesn't have.

Python has them for bytes of a file's name that are not UTF-8, and JSON may hold them where a text was cut in an emoji.
"""

from __future__ import annotations

import re

_HALF = re.compile("[\ud800-\udfff]")


def has_any(text: str) -> bool:
    """Whether a text has a half without its other one, so that it can't be written as UTF-8."""
    return not text.isascii() and _HALF.search(text) is not None


def replaced(text: str) -> str:
    """The text with a replacement character for each half."""
    return _HALF.sub("\ufffd", text) if has_any(text) else text
