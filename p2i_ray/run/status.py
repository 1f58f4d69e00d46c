"""The status of a run, read from its folder alone: for people on other machines, and for programs.

Whether a driver lives is seen by its lease (lease.py), of older versions by the record of its attempt: both change
every few seconds. Its clock may be wrong, so times that it wrote are compared with each other only.
"""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple

from p2i_ray.config.loading import read_dump, with_defaults
from p2i_ray.console.durations import duration
from p2i_ray.errors import HURT, UserError
from p2i_ray.run import attempt_record as records
from p2i_ray.run import lease, manifests
from p2i_ray.run.attempt_record import AttemptRecord
from p2i_ray.run.lease import Clock
from p2i_ray.storage import locations

CONFIG, SUMMARY = "config.yaml", "run.json"
WATCH_S = 20.0  # how long to look for a sign of life: a driver gives one every few seconds
POLL_S = 0.5
Status = Literal["running", "done", "stopped", "lost"]
Life = Literal["alive", "silent", "gone", "none"]  # gone: seen on its own machine; none: there is none to look for


class RunStatus(NamedTuple):
    """The status of a run."""

    run_dir: str
    status: Status
    why: str  # the reason if it is neither running nor done, else empty
    rounds: list[dict[str, Any]]  # as in run.json
    of_rounds: int
    attempts: list[AttemptRecord]  # the oldest first
    life: Life  # of the last attempt's driver, as seen just now


def read_status(run_dir: str, clock: Clock = lease.CLOCK) -> RunStatus:
    """Read the status of a run; where its driver seems to work, this takes until its next sign of life.

    Args:
        run_dir: location of the run folder.
        clock: this process's.

    Raises:
        UserError: there is no run.
    """
    config, summary = read_settings(run_dir), read_summary(run_dir)
    attempts, last = records.read(run_dir), config["idr"]["rounds"]
    life: Life = "none" if summary["status"] == "done" else _life(run_dir, attempts, clock)
    status, why = status_of(summary["status"], attempts[-1] if attempts else None, life)
    return RunStatus(
        run_dir=run_dir,
        status=status,
        why=why,
        rounds=manifests.rounds(run_dir, last),
        of_rounds=last,
        attempts=attempts,
        life=life,
    )


def is_run(run_dir: str) -> bool:
    """Whether there is a run in a folder, to be continued."""
    return locations.exists(locations.join(locations.absolute(run_dir), CONFIG))


def status_of(written: str, attempt: AttemptRecord | None, life: Life) -> tuple[Status, str]:
    """The status of a run, and the reason if it is neither running nor done.

    Args:
        written: status in run.json, which a killed driver leaves at "running".
        attempt: the last attempt.
        life: of its driver.
    """
    if written == "done":
        return "done", ""
    if life == "alive":
        return "running", ""
    if attempt is not None and attempt.ended is not None:
        return "stopped", (attempt.outcome or "").removeprefix("stopped: ")
    if life == "gone":
        return "lost", "its driver's process is gone: it was killed"
    if life == "silent":
        return "lost", f"no sign of life within {duration(WATCH_S)}: its driver was killed, or can't reach the folder"
    why = "it ended early" if written == "stopped" else "no driver has left a sign of life"
    return ("stopped" if written == "stopped" else "lost"), why


def _life(run_dir: str, attempts: list[AttemptRecord], clock: Clock) -> Life:
    """Look for the driver's next sign of life."""
    found, seen = lease.state(locations.join(run_dir, lease.FILE), WATCH_S, POLL_S, clock)
    if found == "free" and attempts and attempts[-1].ended is None:  # an older version's, or somebody removed the lease
        found, seen = lease.state(records.files(run_dir)[-1], WATCH_S, POLL_S, clock)
    if found == "dead":
        return "gone" if seen and seen.holder and seen.holder.process() == "gone" else "silent"
    return "alive" if found == "alive" else "none"


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
