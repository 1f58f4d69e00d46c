"""Spans of a driver's time, and their unions. Times are UTC, in epoch seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import BaseModel

# A step of the loop; the start of engines or of Ray; overlapped work for a later step; the driver's wait for that.
Kind = Literal["step", "start", "ahead", "wait"]


class Span(BaseModel):
    """A stretch of a driver's work."""

    kind: Kind
    round: int  # 0 is before training
    name: str  # the step's, or what is started
    began: float
    ended: float | None = None  # none: it is still open, or its driver was killed


def union(spans: Iterable[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """The union of (begin, end) intervals: disjoint intervals in order."""
    begin, end = None, 0.0
    for next_begin, next_end in sorted(spans):
        if begin is None:
            begin, end = next_begin, next_end
        elif next_begin <= end:
            end = max(end, next_end)
        else:
            yield begin, end
            begin, end = next_begin, next_end
    if begin is not None:
        yield begin, end


def within(spans: Iterable[Span], begin: float, end: float) -> list[tuple[float, float]]:
    """The spans' (begin, end) cut to the interval from `begin` to `end`; open spans last until `end`."""
    cut = ((max(span.began, begin), min(end if span.ended is None else span.ended, end)) for span in spans)
    return [(first, last) for first, last in cut if last > first]


def length(stretches: Iterable[tuple[float, float]]) -> float:
    """Length of the union of (begin, end) intervals, seconds."""
    return sum(end - begin for begin, end in union(stretches))
