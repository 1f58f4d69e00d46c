"""The status of a run, read from its folder alone: for people on other machines, and for programs."""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple

from p2i_ray.config.loading import read_dump, with_defaults
from p2i_ray.console.durations import duration
from p2i_ray.errors import HURT, UserError
from p2i_ray.run import attempt_record as records
from p2i_ray.run import manifests
from p2i_ray.run.attempt_record import AttemptRecord
from p2i_ray.storage import locations

CONFIG, SUMMARY = "config.yaml", "run.json"
LOST_S = 60.0  # a driver gives a sign of life every few seconds
Status = Literal["running", "done", "stopped", "lost"]


class RunStatus(NamedTuple):
    """The status of a run."""

    run_dir: str
    status: Status
    why: str  # the reason if it is neither running nor done, else empty
    rounds: list[dict[str, Any]]  # as in run.json
    of_rounds: int
    attempts: list[AttemptRecord]  # the oldest first
    silent_s: float | None  # seconds since the last sign of life (none: there was none)


def read_status(run_dir: str, now: float) -> RunStatus:
    """Read the status of a run.

    Args:
        run_dir: location of the run folder.
        now: UTC, epoch seconds.

    Raises:
        UserError: there is no run.
    """
    config, summary = read_settings(run_dir), read_summary(run_dir)
    attempts, last = records.read(run_dir), config["idr"]["rounds"]
    silent_s = max(0.0, now - attempts[-1].seen) if attempts else None
    status, why = status_of(summary["status"], attempts[-1] if attempts else None, silent_s)
    return RunStatus(
        run_dir=run_dir,
        status=status,
        why=why,
        rounds=manifests.rounds(run_dir, last),
        of_rounds=last,
        attempts=attempts,
        silent_s=silent_s,
    )


def is_run(run_dir: str) -> bool:
    """Whether there is a run in a folder, to be continued."""
    return locations.exists(locations.join(locations.absolute(run_dir), CONFIG))


def status_of(written: str, attempt: AttemptRecord | None, silent_s: float | None) -> tuple[Status, str]:
    """The status of a run, and the reason if it is neither running nor done.

    Args:
        written: status in run.json, which a killed driver leaves at "running".
        attempt: the last attempt.
        silent_s: seconds since its last sign of life.
    """
    if written == "done":
        return "done", ""
    if attempt is None or silent_s is None:
        why = "it ended early" if written == "stopped" else "no driver has left a sign of life"
        return ("stopped" if written == "stopped" else "lost"), why
    if attempt.ended is not None:
        return "stopped", (attempt.outcome or "").removeprefix("stopped: ")
    if silent_s > LOST_S:
        return "lost", f"no sign of life for {duration(silent_s)}: its driver was killed, or can't reach the folder"
    return "running", ""


def read_settings(run_dir: str) -> dict[str, Any]:
    """A run's config.yaml with today's names, and defaults for what an older version didn't know.

    Raises:
        UserError: there is no run, or the file is hurt.
    """
    return with_defaults(read_dump(_read(run_dir, CONFIG), locations.join(run_dir, CONFIG)))


def read_summary(run_dir: str) -> dict[str, Any]:
    """A run's run.json.

    Raises:
        UserError: there is no run, or the file is hurt.
    """
    try:
        summary = json.loads(_read(run_dir, SUMMARY))
    except ValueError:
        summary = None
    if not isinstance(summary, dict) or "status" not in summary:
        raise UserError(
            f"{locations.join(run_dir, SUMMARY)} was cut short or changed; remove it: the run's command writes it anew"
        )
    return summary


def _read(run_dir: str, name: str) -> str:
    location = locations.join(run_dir, name)
    if not locations.exists(location):
        raise UserError(f"{run_dir} holds no run ({name} is not there); check the path")
    try:
        return locations.read_text(location)
    except UnicodeDecodeError:
        raise UserError(f"{location} is no text; {HURT}") from None
