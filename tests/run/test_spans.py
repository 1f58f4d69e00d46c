"""Spans of time, and how quickly things get done: figures worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.run.spans import Span, length, union, within
from p2i_ray.run.throughput import WINDOW_S, Throughput


def span(began: float, ended: float | None) -> Span:
    return Span(kind="step", round=1, name="score", began=began, ended=ended)


def test_stretches_that_overlap_or_touch_are_one() -> None:
    assert list(union([(5, 6), (0, 2), (1, 3), (3, 4)])) == [(0, 4), (5, 6)]
    assert list(union([])) == []


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: (min(pair), max(pair)))))
def test_every_second_counts_once(stretches: list[tuple[int, int]]) -> None:
    assert length(stretches) == len({second for begin, end in stretches for second in range(begin, end)})


def test_a_span_counts_within_its_attempt_and_one_that_goes_on_until_its_end() -> None:
    assert within([span(0, 4), span(8, None), span(20, 30)], 2, 10) == [(2, 4), (8, 10)]


def test_the_pace_is_that_of_late_and_leaves_out_the_start() -> None:
    pace = Throughput(0.0)
    assert pace.rate(30) is None
    pace.add(10, 40.0)  # engines started for 30 s
    assert pace.rate(40) == pytest.approx(10 / 40)  # all that is known
    pace.add(20, 44.0)
    pace.add(20, 48.0)
    assert pace.rate(49) == pytest.approx(40 / 8)
    for second in range(49, 49 + 2 * int(WINDOW_S)):
        pace.add(1, float(second))
    assert pace.rate(49 + 2 * WINDOW_S) == pytest.approx(1.0)
    assert pace.done == 50 + 2 * WINDOW_S


def test_one_that_has_halted_does_not_keep_its_pace() -> None:
    pace = Throughput(0.0)
    pace.add(5, 1.0)
    pace.add(5, 2.0)
    assert pace.rate(3) == pytest.approx(5)
    assert pace.rate(101) == pytest.approx(5 / 100)


def test_reports_that_lie_further_apart_than_the_window_still_tell_a_pace() -> None:
    pace = Throughput(0.0)
    for number in range(1, 4):
        pace.add(1000, number * 2 * WINDOW_S)
    assert pace.rate(6 * WINDOW_S) == pytest.approx(1000 / (2 * WINDOW_S))
