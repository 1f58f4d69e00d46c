"""The lines of a text file, each made when it is asked for: a list of all would be several times the file."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from mmap import mmap
from typing import overload

import numpy as np
from numpy.typing import NDArray

from p2i_ray.storage import spilled

AT_ONCE = 1 << 20  # bytes in which ends are looked for at once


class TextLines(Sequence[str]):
    """Lines with their ends: line feeds, carriage returns, or both.

    Args:
        content: of the file, which is held.
        encoding: one in which no other character has a byte of those; the content is known to be in it.
        has_mark: whether a byte order mark is in front.
    """

    def __init__(self, content: bytes | mmap, encoding: str, has_mark: bool = False) -> None:
        self._content, self._encoding = content, encoding
        start = len(codecs.BOM_UTF8) if has_mark else 0
        count = sum(map(len, _ends(content)))
        self._ends = spilled.array(count + 2, np.int64)
        self._ends[0] = end = start
        place = 1
        for some in _ends(content):
            self._ends[place : place + len(some)] = some
            place, end = place + len(some), int(some[-1]) if len(some) else end
        if len(content) > end:
            self._ends[place] = len(content)
            place += 1
        self._ends = self._ends[:place]

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


def _ends(content: bytes | mmap) -> Iterator[NDArray[np.int64]]:
    """Ends of lines, a piece of the file at a time; between a carriage return and a line feed there is none."""
    given = np.frombuffer(content, np.uint8)
    for start in range(0, len(given), AT_ONCE):
        some, following = given[start : start + AT_ONCE], given[start + 1 : start + 1 + AT_ONCE]
        returns = some == ord("\r")
        returns[: len(following)] &= following != ord("\n")
        yield np.flatnonzero((some == ord("\n")) | returns) + start + 1
