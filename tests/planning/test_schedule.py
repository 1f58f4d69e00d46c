"""Activities in time: small cases by hand, and what holds for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.planning.schedule import Activity, Key, busy, length, schedule


def at(*activities: Activity) -> dict[str, tuple[float, float]]:
    return {one.activity.key[1]: (one.began, one.ended) for one in schedule(activities)}


def test_one_after_the_other() -> None:
    one, two = Activity((0, "a"), (), 1, 3), Activity((0, "b"), ((0, "a"), (7, "of no run")), 2, 4)
    assert at(two, one) == {"a": (0, 4), "b": (4, 10)}
    assert busy(schedule([one, two])) == pytest.approx(0.7)


def test_what_runs_together_shares_the_gpus() -> None:
    """B works alone for two seconds, at half its pace beside A until 4; then A has three seconds of work left."""
    found = at(Activity((0, "a"), (), idle_s=2, work_s=4), Activity((0, "b"), (), work_s=3))
    assert found == {"a": (0, pytest.approx(7)), "b": (0, pytest.approx(4))}


def test_parts_that_fit_beside_each_other_do_not_slow_each_other() -> None:
    half, cpu = Activity((0, "half"), (), work_s=4, share=0.5), Activity((0, "cpu"), (), work_s=9, share=0)
    assert at(half, half._replace(key=(0, "other")), cpu) == {"half": (0, 4), "other": (0, 4), "cpu": (0, 9)}
    assert busy(schedule([half, cpu])) == pytest.approx(2 / 9)


def test_a_circle_is_told() -> None:
    with pytest.raises(ValueError, match="wait for each other"):
        schedule([Activity((0, "a"), ((0, "b"),)), Activity((0, "b"), ((0, "a"),))])


@pytest.mark.parametrize("seconds", [0.0, 2e-311, 5e-324, 1e-10])
def test_durations_below_the_resolution_take_no_time(seconds: float) -> None:
    tiny = [Activity(key=(number, "x"), after=(), idle_s=seconds, work_s=seconds, share=0.25) for number in range(5)]
    planned = schedule([*tiny, Activity((9, "x"), (), work_s=5 * seconds)])
    assert (length(planned), busy(planned)) == (0, 0)
    assert at(*tiny, Activity((9, "y"), ((4, "x"),), work_s=3))["y"] == (0, 3)


def test_an_activity_is_over_no_sooner_than_its_work() -> None:
    """Beside one of two nanoseconds another one of one is not done with it."""
    planned = schedule([Activity((0, "a"), (), work_s=1e-9), Activity((0, "b"), (), work_s=2e-9)])
    assert length(planned) == pytest.approx(3e-9) and busy(planned) == pytest.approx(1)


@st.composite
def any_activities(draw: st.DrawFn) -> list[Activity]:
    found: list[Activity] = []
    for number in range(draw(st.integers(1, 8))):
        after: list[Key] = draw(st.lists(st.sampled_from([a.key for a in found]), unique=True)) if found else []
        idle, work = draw(st.floats(0, 100)), draw(st.floats(0, 100))
        found.append(
            Activity(
                key=(number, "x"),
                after=tuple(after),
                idle_s=idle,
                work_s=work,
                share=draw(st.sampled_from([0.0, 0.25, 1.0])),
            )
        )
    return found


@given(any_activities())
def test_no_schedule_is_shorter_than_its_longest_way_or_its_work(activities: list[Activity]) -> None:
    planned = {one.activity.key: one for one in schedule(activities)}
    assert set(planned) == {activity.key for activity in activities}
    way: dict[Key, float] = {}
    for activity in activities:
        begun = max((planned[key].ended for key in activity.after), default=0.0)
        assert planned[activity.key].began == pytest.approx(begun)
        alone = activity.idle_s + activity.work_s
        assert planned[activity.key].ended - planned[activity.key].began >= alone - 1e-6
        way[activity.key] = alone + max((way[key] for key in activity.after), default=0.0)
    whole = length(list(planned.values()))
    assert max(way.values()) - 1e-6 <= whole <= sum(a.idle_s + a.work_s for a in activities) + 1e-6
    if whole:
        assert busy(list(planned.values())) <= 1 + 1e-6
