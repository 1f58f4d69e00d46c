"""When each part of a run would be done, when parts wait for others and share GPUs. No clock, no Ray: arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Key = tuple[int, str]  # round and name
EPSILON = 1e-9


class Activity(NamedTuple):
    """A part of a run.

    Attributes:
        key: its round and name.
        after: what must be done before it begins; names that aren't there are left out.
        idle_s: first so many seconds in which it leaves the GPUs alone: it starts processes, loads weights.
        work_s: then so many in which it keeps its GPUs busy, if nothing else does.
        share: of all GPUs, that it keeps busy then, 0..1; 0: it works on CPUs.
    """

    key: Key
    after: tuple[Key, ...]
    idle_s: float = 0.0
    work_s: float = 0.0
    share: float = 1.0


class Planned(NamedTuple):
    """An activity in time, seconds from the run's begin."""

    activity: Activity
    began: float
    ended: float


def schedule(activities: Sequence[Activity]) -> list[Planned]:
    """Each activity as early as it can be, by its begin.

    Those that want the same GPUs at the same time share them: together they get done what one would alone.

    Raises:
        ValueError: some wait for each other.
    """
    waiting, known = list(activities), {activity.key for activity in activities}
    left: dict[Key, list[float]] = {}  # of those that run: idle and work seconds
    running: dict[Key, tuple[Activity, float]] = {}
    done: dict[Key, Planned] = {}
    now = 0.0
    while waiting or running:
        for activity in [a for a in waiting if all(key in done or key not in known for key in a.after)]:
            waiting.remove(activity)
            running[activity.key], left[activity.key] = (activity, now), [activity.idle_s, activity.work_s]
        if not running:
            raise ValueError(f"{[activity.key for activity in waiting]} wait for each other")
        wanted = sum(activity.share for activity, _ in running.values() if left[activity.key][0] <= EPSILON)
        pace = 1 / max(1.0, wanted)
        step = min(_next(left[key], activity.share, pace) for key, (activity, _) in running.items())
        now += step
        for key, (activity, began) in list(running.items()):
            _advance(left[key], step, pace if activity.share else 1.0)
            if sum(left[key]) <= EPSILON:
                del running[key]
                done[key] = Planned(activity, began, now)
    return sorted(done.values(), key=lambda planned: (planned.began, planned.ended))


def _next(left: Sequence[float], share: float, pace: float) -> float:
    """Seconds until an activity has done with what it is at."""
    idle, work = left
    return idle if idle > EPSILON else work / (pace if share else 1.0)


def _advance(left: list[float], step: float, pace: float) -> None:
    if left[0] > EPSILON:
        left[0] = max(0.0, left[0] - step)
    else:
        left[1] = max(0.0, left[1] - step * pace)


def length(planned: Sequence[Planned]) -> float:
    """Seconds from the first begin to the last end."""
    return max(one.ended for one in planned)


def busy(planned: Sequence[Planned]) -> float:
    """Share of the time that the GPUs work, 0..1."""
    return sum(one.activity.work_s * one.activity.share for one in planned) / length(planned)
