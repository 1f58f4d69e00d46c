"""The lines of a text file, each made when it is asked for: a list of all would be several times the file."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import overload

import numpy as np


class TextLines(Sequence[str]):
    """Lines with their ends: line feeds, carriage returns, or both.

    Args:
        content: of the file, which is held.
        encoding: one in which no other character has a byte of those; the content is known to be in it.
        has_mark: whether a byte order mark is in front.
    """

    def __init__(self, content: bytes, encoding: str, has_mark: bool = False) -> None:
        self._content, self._encoding = content, encoding
        start = len(codecs.BOM_UTF8) if has_mark else 0
        given = np.frombuffer(content, np.uint8)
        ends = np.flatnonzero(given == ord("\n")) + 1
        returns = np.flatnonzero(given == ord("\r")) + 1
        alone = returns[~np.isin(returns + 1, ends, assume_unique=True)]
        ends = np.union1d(ends, alone) if len(alone) else ends
        if len(content) > (ends[-1] if len(ends) else start):
            ends = np.append(ends, len(content))
        self._ends = np.concatenate([[start], ends])

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[number] for number in range(len(self))[place]]
        number = range(len(self))[place]
        return self._content[self._ends[number] : self._ends[number + 1]].decode(self._encoding)
