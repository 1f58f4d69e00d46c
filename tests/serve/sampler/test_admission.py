"""Admission by work: what can't be painted in time is refused before anything of it is done."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from p2i_ray.diffusion.sampling.request import work
from p2i_ray.serve.edge.backpressure import Overloaded, TooMuchWork
from p2i_ray.serve.sampler.admission import FEWEST, TTL_S, Admission


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def known(replicas: int = 1, pace: float = 2.0, clock: Clock | None = None) -> Admission:
    """An admission of answers within 120 s, whose images took 3 s, 3 s and `pace` seconds a unit of work."""
    admission = Admission(120, replicas, clock or Clock())
    for seconds in (3.0, pace, 3.0):
        admission.observe(10, 10 * seconds)
    return admission


def admitted(admission: Admission, images: int, cost: float, most_s: float = 60) -> bool:
    try:
        with admission.reserve(images, cost, most_s):
            return True
    except (TooMuchWork, Overloaded):
        return False


def test_work_counts_pixels_steps_guidance_and_the_vae() -> None:
    assert work(64, 32, 10, 1.0) == 64 * 32 * (10 + 4)
    assert work(64, 32, 10, 3.0) == 64 * 32 * (20 + 4)


def test_nothing_is_refused_before_the_pace_is_known() -> None:
    admission = Admission(120, 1, Clock())
    for _ in range(FEWEST):
        assert admitted(admission, 8, 1e9)
        admission.observe(1, 1)
    assert not admitted(admission, 8, 1e9)


def test_a_request_that_takes_too_long_by_itself_is_refused_with_figures() -> None:
    admission = known()  # at the fastest pace, 2 s a unit
    assert admitted(admission, 3, 10) and admitted(admission, 1, 30)
    with pytest.raises(TooMuchWork) as refused, admission.reserve(8, 10, 60):
        pass
    assert (refused.value.takes_s, refused.value.most_s) == (160, 60)
    assert str(refused.value) == (
        "this takes about 160 s to paint, and may take 60 s; ask for fewer pictures or steps, or a smaller size"
    )
    assert admitted(admission, 8, 10, most_s=160)


def test_replicas_share_a_requests_images_but_none_is_painted_by_two() -> None:
    assert admitted(known(replicas=3), 8, 10)  # 160 / 3 s
    assert admitted(known(replicas=3), 1, 30) and not admitted(known(replicas=3), 1, 31)


def test_a_request_waits_for_those_before_it_only_where_it_is_answered_in_time() -> None:
    admission = known()
    with ExitStack() as outstanding:
        outstanding.enter_context(admission.reserve(1, 30, 60))
        outstanding.enter_context(admission.reserve(1, 20, 60))  # 100 s in all
        assert admitted(admission, 1, 10)
        with pytest.raises(Overloaded) as refused, admission.reserve(1, 20, 60):
            pass
        assert refused.value.retry_after_s == 20  # (50 + 20) * 2 - 120
        assert not admitted(admission, 1, 11)
    assert admitted(admission, 1, 30)  # all are finished
    with pytest.raises(KeyError), admission.reserve(1, 30, 60):
        raise KeyError
    assert admitted(admission, 1, 30)


def test_a_slow_hour_is_forgotten_so_that_it_refuses_nobody_for_ever() -> None:
    clock = Clock()
    admission = known(pace=100.0, clock=clock)
    assert not admitted(admission, 1, 25)
    clock.now += TTL_S + 1
    assert admitted(admission, 1, 25)


def test_the_usual_pace_is_the_median_and_is_not_forgotten() -> None:
    clock = Clock()
    admission = Admission(120, 1, clock)
    for seconds in (5.0, 1.0):
        admission.observe(10, 10 * seconds)
        assert admission.usual_pace() is None
    admission.observe(10, 20)
    clock.now += 2 * TTL_S
    assert admission.usual_pace() == 2
