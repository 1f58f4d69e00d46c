"""Work in a thread beside the driver's own."""

from __future__ import annotations

import threading

import pytest

from p2i_ray.steps.overlap.background import in_background


def test_the_future_has_the_result_and_the_thread_its_name() -> None:
    assert in_background(lambda: threading.current_thread().name, "engines").result(20) == "engines"


def test_what_the_work_raises_is_raised_where_its_result_is_asked_for() -> None:
    def fail() -> None:
        raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        in_background(fail, "engines").result(20)


def test_a_driver_that_ends_does_not_wait() -> None:
    go = threading.Event()
    future = in_background(go.wait, "engines")
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "engines")
    assert thread.daemon and not future.done()
    go.set()
    assert future.result(20)
