"""Schedule the parts of a run that wait for others and share GPUs. No clock, no Ray: arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Key = tuple[int, str]  # round and name
RESOLUTION_S = 1e-9  # shorter durations count as none
ROUNDING = 1e-12  # of a duration: what floating point may leave of it when it is over


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
    waiting, known = [_rounded(activity) for activity in activities], {activity.key for activity in activities}
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
        wanted = sum(activity.share for activity, _ in running.values() if not left[activity.key][0])
        pace = 1 / max(1.0, wanted)
        step = min(_next(left[key], activity.share, pace) for key, (activity, _) in running.items())
        now += step
        for key, (activity, began) in list(running.items()):
            _advance(activity, left[key], step, pace if activity.share else 1.0)
            if not sum(left[key]):
                del running[key]
                done[key] = Planned(activity, began, now)
    return sorted(done.values(), key=lambda planned: (planned.began, planned.ended))


def _next(left: Sequence[float], share: float, pace: float) -> float:
    """Seconds until an activity has done with what it is at."""
    idle, work = left
    return idle or work / (pace if share else 1.0)


def _rounded(activity: Activity) -> Activity:
    """The activity without durations below the resolution; floating point has no exact quotients of the tiniest."""
    idle_s, work_s = (0.0 if seconds < RESOLUTION_S else seconds for seconds in (activity.idle_s, activity.work_s))
    return activity._replace(idle_s=idle_s, work_s=work_s)


def _advance(activity: Activity, left: list[float], step: float, pace: float) -> None:
    """Let `step` seconds go by; what is over becomes exactly 0."""
    if left[0]:
        left[0] = _less(left[0], step, activity.idle_s)
    else:
        left[1] = _less(left[1], step * pace, activity.work_s)


def _less(left: float, done: float, whole: float) -> float:
    rest = left - done
    return rest if rest > ROUNDING * whole else 0.0


def length(planned: Sequence[Planned]) -> float:
    """Seconds from the first begin to the last end."""
    return max(one.ended for one in planned)


def busy(planned: Sequence[Planned]) -> float:
    """Fraction of the time that the GPUs work, 0..1; 0 for a schedule that takes no time."""
    whole = length(planned)
    return sum(one.activity.work_s * one.activity.share for one in planned) / whole if whole else 0.0
