"""What each driver that worked on a run left on record, and what that adds up to.

<run_dir>/attempts/<begin>-<id>.json     one driver process, rewritten every few seconds while it lives
<run_dir>/attempts/<begin>-<id>.parquet  how busy the cluster's nodes were meanwhile (nodes.py)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel, ValidationError

from p2i_ray.errors import UserError
from p2i_ray.run.spans import Span, length, within
from p2i_ray.storage import locations

FOLDER = "attempts"


class CurrentStep(BaseModel):
    """The step that a driver is at."""

    round: int
    step: str
    began: float
    done: int = 0
    total: int | None = None  # none: not known
    unit: str = "rows"
    rate: float | None = None  # units a second, of late
    images: int = 0  # pictures painted or learned from with each unit

    @property
    def left_s(self) -> float | None:
        """Seconds until the step is done, if it goes on like that."""
        return (self.total - self.done) / self.rate if self.total is not None and self.rate else None


class AttemptRecord(BaseModel):
    """One driver process at work on a run."""

    host: str
    pid: int
    job: str | None = None  # Ray's id of it
    began: float
    seen: float  # its last sign of life
    ended: float | None = None
    outcome: str | None = None  # "done", or "stopped: " and why; none: it works, or was killed
    now: CurrentStep | None = None
    spans: list[Span] = []
    kept_fraction: float | None = None  # of the newest selection, 0..1
    set_aside: int = 0  # rows, in all rounds so far

    @property
    def until(self) -> float:
        """Its end, or as long as it is known to have lived."""
        return self.seen if self.ended is None else self.ended

    def stretches(self, *kinds: str) -> list[tuple[float, float]]:
        """(begin, end) of its spans of some kinds; none is longer than it lived."""
        return within((span for span in self.spans if span.kind in kinds), self.began, self.until)


class TimeAccount(NamedTuple):
    """Where the drivers' time went."""

    attempts: int
    wall_s: float  # of all attempts; the pauses between them don't count
    steps_s: float  # in which a step was at work, the starts in it included
    starts_s: float  # in which engines or Ray started
    ahead_s: float  # in neither, and waiting for what was begun ahead of its turn
    driver_s: float  # in none of these: the driver's own work

    @property
    def driver_share(self) -> float:
        """Of the wall time, 0..1."""
        return self.driver_s / self.wall_s if self.wall_s else 0.0

    def figures(self) -> dict[str, float]:
        """As run.json shows it."""
        seconds = {name: round(value, 2) for name, value in self._asdict().items() if name != "attempts"}
        return {"attempts": self.attempts, **seconds, "driver_share": round(self.driver_share, 4)}

    def line(self) -> str:
        """In words."""
        waited = f", wait for work ahead of its turn {self.ahead_s:.0f} s" if self.ahead_s >= 0.5 else ""
        return (
            f"{self.driver_s:.1f} s of {self.wall_s:.0f} s besides the steps ({100 * self.driver_share:.1f} %), "
            f"engines' start {self.starts_s:.0f} s{waited}"
        )


def files(run_dir: str) -> list[str]:
    """Locations of the records, the oldest attempt first."""
    return locations.files(locations.join(run_dir, FOLDER), ".json")


def read(run_dir: str) -> list[AttemptRecord]:
    """The attempts at a run, the oldest first; none in folders that older versions wrote.

    Raises:
        UserError: something else is in one of the files.
    """
    return sorted(map(read_one, files(run_dir)), key=lambda record: record.began)


def read_one(location: str) -> AttemptRecord:
    """One attempt.

    Raises:
        UserError: something else is in the file.
    """
    try:
        return AttemptRecord.model_validate_json(locations.read_bytes(location))
    except ValidationError as error:
        raise UserError(f"{location} is no record of an attempt ({error.error_count()} faults); remove it") from None


def account(records: Sequence[AttemptRecord]) -> TimeAccount:
    """What the attempts' time went into."""
    wall = sum(record.until - record.began for record in records)
    steps, starts, either, all_three = (
        sum(length(record.stretches(*kinds)) for record in records)
        for kinds in (("step",), ("start",), ("step", "start"), ("step", "start", "wait"))
    )
    return TimeAccount(len(records), wall, steps, starts, all_three - either, wall - all_three)
