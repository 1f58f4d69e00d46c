"""Prometheus gauges of a run's state, exported by the driver's node with Ray's own metrics (as `ray_p2i_…`).

Every series has the run's location as the tag `run`, so runs that share a cluster can be told apart; other letters than
ASCII's, which Ray refuses in tags, are %-encoded. A step counts either rows or, where it samples images or learns from
them, images; the gauges of the other are 0.
"""

from __future__ import annotations

import functools
import string
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

from p2i_ray.run.attempt_record import AttemptRecord, CurrentStep
from p2i_ray.run.node_metrics import joined

# Name -> description and tags.
GAUGES = {
    "p2i_round": ("The round that the run is in; 0 is before training.", ("run",)),
    "p2i_step": ("1 for the step that the run is at.", ("run", "step")),
    "p2i_step_rows_done": ("Rows that the step has finished.", ("run",)),
    "p2i_step_rows_expected": ("Rows that the step has to do, 0 where that isn't known.", ("run",)),
    "p2i_step_rows_per_second": ("Throughput of the step over the last minute, rows per second.", ("run",)),
    "p2i_step_images_done": ("Images that the step has sampled or, in training, learned from.", ("run",)),
    "p2i_step_images_expected": ("Images that the step has to do, 0 where that isn't known.", ("run",)),
    "p2i_step_images_per_second": ("Throughput of the step over the last minute, images per second.", ("run",)),
    "p2i_kept_ratio": ("Fraction of the scored rows that the newest selection kept, 0 to 1.", ("run",)),
    "p2i_set_aside_rows": ("Rows set aside so far.", ("run",)),
}


class Reading(NamedTuple):
    """One value of a gauge."""

    name: str
    tags: tuple[tuple[str, str], ...]  # without the run
    value: float


def readings(record: AttemptRecord) -> Iterator[Reading]:
    """The values of the gauges for a driver's record; a gauge that is missing is 0."""
    at = record.now
    rounds = [span.round for span in record.spans if span.kind == "step"]
    if at or rounds:
        yield Reading("p2i_round", (), at.round if at else rounds[-1])
    if at:
        yield Reading("p2i_step", (("step", at.step),), 1)
        yield from _progress(at)
    if record.kept_fraction is not None:
        yield Reading("p2i_kept_ratio", (), record.kept_fraction)
    yield Reading("p2i_set_aside_rows", (), record.set_aside)


def _progress(at: CurrentStep) -> Iterator[Reading]:
    counted, per_unit = ("images", at.images) if at.images else ("rows", 1)
    yield Reading(f"p2i_step_{counted}_done", (), at.done * per_unit)
    yield Reading(f"p2i_step_{counted}_expected", (), (at.total or 0) * per_unit)
    if at.rate is not None:
        yield Reading(f"p2i_step_{counted}_per_second", (), at.rate * per_unit)


class RunGauges:
    """The gauges of one run; they are exported once the driver has joined a cluster."""

    def __init__(self, run: str) -> None:
        self._run = quote(run, safe=string.printable)
        self._shown: set[tuple[str, tuple[tuple[str, str], ...]]] = set()

    def show(self, record: AttemptRecord) -> None:
        """Set all gauges to the record's values."""
        if joined() is None:
            return
        values = {(reading.name, reading.tags): reading.value for reading in readings(record)}
        for name, tags in self._shown - values.keys():  # a gauge that isn't set keeps its last value
            _gauge(name).set(0, {"run": self._run, **dict(tags)})
        for (name, tags), value in values.items():
            _gauge(name).set(value, {"run": self._run, **dict(tags)})
        self._shown |= values.keys()


@functools.cache  # a process may create a name once
def _gauge(name: str) -> Any:
    from ray.util.metrics import Gauge

    return Gauge(name, *GAUGES[name])
