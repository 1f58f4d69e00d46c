"""Pauses between failures in a row, and what is told of them."""

from __future__ import annotations

from p2i_ray.serve.jobs.backoff import Backoff


def test_pauses_double_up_to_the_longest_and_a_row_is_told_once() -> None:
    now, told = 0.0, list[str]()
    backoff = Backoff(
        began=lambda error: told.append(str(error)), ended=lambda: told.append("ended"), longest_s=8, clock=lambda: now
    )
    assert backoff.wait_s == 0
    backoff.worked()  # nothing had failed
    for pause in (1, 2, 4, 8, 8):
        backoff.failed(OSError(f"before {pause}"))
        backoff.failed(OSError("another task's, at the same time"))
        assert backoff.wait_s == pause
        now += pause
        assert backoff.wait_s == 0
    backoff.worked()
    backoff.worked()
    assert told == ["before 1", "ended"] and backoff.wait_s == 0
    backoff.failed(OSError("again"))
    assert told == ["before 1", "ended", "again"] and backoff.wait_s == 1
