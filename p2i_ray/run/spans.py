"""What a driver's time goes into: spans of it, and what is left beside them. Times are UTC, in epoch seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import BaseModel

# A step of the loop; the start of engines or of Ray; work for a step beside another one; the driver's wait for that.
Kind = Literal["step", "start", "ahead", "wait"]


class Span(BaseModel):
    """Something that a driver did, or does."""

    kind: Kind
    round: int  # 0 is before training
    name: str  # the step's, or what is started
    began: float
    ended: float | None = None  # none: it goes on, or its driver was killed


def union(spans: Iterable[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """The stretches of time that (begin, end) pairs cover together, in order, none touching another."""
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
    """The spans' (begin, end) as far as they lie between two times; those that go on last until the second."""
    cut = ((max(span.began, begin), min(end if span.ended is None else span.ended, end)) for span in spans)
    return [(first, last) for first, last in cut if last > first]


def length(stretches: Iterable[tuple[float, float]]) -> float:
    """Seconds that (begin, end) pairs cover, each second once."""
    return sum(end - begin for begin, end in union(stretches))
