"""Where a run is, as Prometheus sees it: gauges that the driver's node exports with Ray's own, `ray_` before each name.

Every series carries the run's location, so runs that share a cluster can be told apart.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

from p2i_ray.run.attempt_record import AttemptRecord, CurrentStep
from p2i_ray.run.node_metrics import joined

# Name -> what it says, and its tags.
GAUGES = {
    "p2i_round": ("The round that the run is in; 0 is before training.", ("run",)),
    "p2i_step": ("1 for the step that the run is at.", ("run", "step")),
    "p2i_rows_done": ("Rows that the step is done with; in training, pictures learned from.", ("run",)),
    "p2i_rows_total": ("Rows of the step, 0 where that isn't known.", ("run",)),
    "p2i_rate": ("Units a second over the last minute: rows judged, images painted or learned from.", ("run", "unit")),
    "p2i_kept_share": ("Share of the judged rows that the newest selection kept, 0 to 1.", ("run",)),
    "p2i_set_aside": ("Rows set aside so far.", ("run",)),
}


class Reading(NamedTuple):
    """One value of a gauge."""

    name: str
    tags: tuple[tuple[str, str], ...]  # but for the run
    value: float


def readings(record: AttemptRecord) -> Iterator[Reading]:
    """What the gauges show of a driver; whatever isn't among them any more is 0."""
    at = record.now
    rounds = [span.round for span in record.spans if span.kind == "step"]
    if at or rounds:
        yield Reading("p2i_round", (), at.round if at else rounds[-1])
    if at:
        yield Reading("p2i_step", (("step", at.step),), 1)
        yield from _progress(at)
    if record.kept_fraction is not None:
        yield Reading("p2i_kept_share", (), record.kept_fraction)
    yield Reading("p2i_set_aside", (), record.set_aside)


def _progress(at: CurrentStep) -> Iterator[Reading]:
    rows = at.images or 1  # of a unit
    yield Reading("p2i_rows_done", (), at.done * rows)
    yield Reading("p2i_rows_total", (), (at.total or 0) * rows)
    if at.rate is not None:
        yield Reading("p2i_rate", (("unit", "images/s" if at.images else "rows/s"),), at.rate * rows)


class RunGauges:
    """The gauges of one run; nothing happens before the driver has joined a cluster."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._shown: set[tuple[str, tuple[tuple[str, str], ...]]] = set()

    def show(self, record: AttemptRecord) -> None:
        """Set them all."""
        if joined() is None:
            return
        values = {(reading.name, reading.tags): reading.value for reading in readings(record)}
        for name, tags in self._shown - values.keys():  # a gauge that isn't set stays where it was
            _gauge(name).set(0, {"run": self._run, **dict(tags)})
        for (name, tags), value in values.items():
            _gauge(name).set(value, {"run": self._run, **dict(tags)})
        self._shown |= values.keys()


@functools.cache  # a process has one of a name
def _gauge(name: str) -> Any:
    from ray.util.metrics import Gauge

    return Gauge(name, *GAUGES[name])
