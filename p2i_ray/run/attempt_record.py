"""The records of the drivers that worked on a run, and their time account.

<run_dir>/attempts/<begin>-<id>.json     one driver process, rewritten every few seconds while it lives
<run_dir>/attempts/<begin>-<id>.parquet  utilisation of the cluster's nodes meanwhile (node_metrics.py)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel, ValidationError

from p2i_ray.errors import UserError
from p2i_ray.run.spans import Span, length, within
from p2i_ray.storage import folders, locations

FOLDER = "attempts"


class CurrentStep(BaseModel):
    """The step that a driver is running."""

    round: int
    step: str
    began: float
    done: int = 0
    total: int | None = None  # none: not known
    unit: str = "rows"
    rate: float | None = None  # units per second over the last minute
    images: int = 0  # images sampled or learned from per unit

    @property
    def left_s(self) -> float | None:
        """Seconds until the step is done, at its present rate."""
        return (self.total - self.done) / self.rate if self.total is not None and self.rate else None


class AttemptRecord(BaseModel):
    """One driver process that works on a run."""

    host: str
    pid: int
    job: str | None = None  # Ray's id of it
    began: float
    seen: float  # its last sign of life
    ended: float | None = None
    outcome: str | None = None  # "done", or "stopped: " with the reason; none: it runs, or was killed
    now: CurrentStep | None = None
    spans: list[Span] = []
    kept_fraction: float | None = None  # of the newest selection, 0..1
    set_aside: int = 0  # rows, in all rounds so far

    @property
    def until(self) -> float:
        """The time of its end, or of its last sign of life."""
        return self.seen if self.ended is None else self.ended

    def stretches(self, *kinds: str) -> list[tuple[float, float]]:
        """(begin, end) of its spans of some kinds, cut to its lifetime."""
        return within((span for span in self.spans if span.kind in kinds), self.began, self.until)


class TimeAccount(NamedTuple):
    """The drivers' time by what it was spent on, in seconds."""

    attempts: int
    wall_s: float  # of all attempts, without the pauses between them
    steps_s: float  # in which a step ran, including starts
    starts_s: float  # in which engines or Ray started
    ahead_s: float  # in neither, and waiting for overlapped work
    driver_s: float  # in none of these: driver overhead

    @property
    def driver_share(self) -> float:
        """Driver overhead as a fraction of the wall time, 0..1."""
        return self.driver_s / self.wall_s if self.wall_s else 0.0

    def figures(self) -> dict[str, float]:
        """The account as in run.json."""
        seconds = {name: round(value, 2) for name, value in self._asdict().items() if name != "attempts"}
        return {"attempts": self.attempts, **seconds, "driver_share": round(self.driver_share, 4)}

    def line(self) -> str:
        """The account in one line of text."""
        waited = f", wait for overlapped work {self.ahead_s:.0f} s" if self.ahead_s >= 0.5 else ""
        return (
            f"{self.driver_s:.1f} s of {self.wall_s:.0f} s besides the steps ({100 * self.driver_share:.1f} %), "
            f"engines' start {self.starts_s:.0f} s{waited}"
        )


def files(run_dir: str) -> list[str]:
    """Locations of the records, the oldest attempt first."""
    return folders.files(locations.join(run_dir, FOLDER), ".json")


def read(run_dir: str) -> list[AttemptRecord]:
    """The attempts at a run, the oldest first; empty for folders that older versions wrote.

    Raises:
        UserError: one of the files holds something else.
    """
    return sorted(map(read_one, files(run_dir)), key=lambda record: record.began)


def read_one(location: str) -> AttemptRecord:
    """Read one attempt's record.

    Raises:
        UserError: the file holds something else.
    """
    try:
        return AttemptRecord.model_validate_json(locations.read_bytes(location))
    except ValidationError as error:
        raise UserError(f"{location} is no record of an attempt ({error.error_count()} faults); remove it") from None


def account(records: Sequence[AttemptRecord]) -> TimeAccount:
    """The time account of attempts."""
    wall = sum(record.until - record.began for record in records)
    steps, starts, either, all_three = (
        sum(length(record.stretches(*kinds)) for record in records)
        for kinds in (("step",), ("start",), ("step", "start"), ("step", "start", "wait"))
    )
    return TimeAccount(
        attempts=len(records),
        wall_s=wall,
        steps_s=steps,
        starts_s=starts,
        ahead_s=all_three - either,
        driver_s=wall - all_three,
    )
