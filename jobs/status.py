"""Print the status of a run from its folder alone, on any machine that can read it, also after the run was killed.

    python jobs/status.py runs/mini
    python jobs/status.py s3://bucket/runs/first --json

Exit codes: 0 it is running or done, 1 it was stopped or lost, 2 there is no run.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from typing import Any

from p2i_ray.console.durations import duration
from p2i_ray.errors import UserError
from p2i_ray.run import manifests, status
from p2i_ray.run.attempt_record import AttemptRecord, CurrentStep
from p2i_ray.run.status import RunStatus
from p2i_ray.storage import locations


def main() -> int:
    """Print the status and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", help="run folder, a path or URI")
    parser.add_argument("--json", action="store_true", help="for programs")
    arguments = parser.parse_args()
    try:
        found = status.read_status(locations.absolute(arguments.run_dir))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(as_json(found), indent=1) if arguments.json else "\n".join(lines(found)))
    return 0 if found.status in ("running", "done") else 1


def as_json(found: RunStatus) -> dict[str, Any]:
    """The status as JSON values."""
    last = found.attempts[-1] if found.attempts else None
    now = last.now if last and found.status == "running" else None
    return {
        **found._asdict(),
        "attempts": [attempt.model_dump(exclude={"spans", "now"}) for attempt in found.attempts],
        "now": {**now.model_dump(), "left_s": now.left_s} if now else None,
        "tracking": places(found, "tracking"),
        "report": next(iter(places(found, "report.html")), None),
    }


def lines(found: RunStatus) -> list[str]:
    """The status as lines of text."""
    last = found.attempts[-1] if found.attempts else None
    found_lines = [f"{found.status:<9} {found.run_dir}{f': {found.why}' if found.why else ''}"]
    if last:
        if found.status == "running":
            found_lines.append(
                f"{'step':<9} {step(last.now, last.seen, found.of_rounds) if last.now else 'between two steps'}"
            )
        found_lines.append(f"{'driver':<9} {driver(last, len(found.attempts))}")
    if found.rounds:
        found_lines += ["", manifests.table(found.rounds), ""]
    found_lines += [f"{'tracking':<9} {location}" for location in places(found, "tracking")]
    found_lines += [f"{'report':<9} {location}" for location in places(found, "report.html")]
    if found.status in ("stopped", "lost"):
        found_lines.append(f"{'next':<9} the command that began the run goes on with it")
    return found_lines


def step(now: CurrentStep, seen: float, of_rounds: int) -> str:
    """The current step at its driver's last sign of life, its progress and the expected time left."""
    done = f"{now.done:,}" if now.total is None else f"{now.done:,} of {now.total:,}"
    parts = [f"round {now.round}/{of_rounds} · {now.step}", f"{duration(seen - now.began)} so far"]
    if now.done or now.total:
        parts.append(f"{done} {now.unit}")
    if now.rate:
        parts.append(f"{now.rate:.3g} {now.unit}/s")
    if now.left_s is not None:
        parts.append(f"about {duration(now.left_s)} left")
    return ", ".join(parts)


def driver(last: AttemptRecord, attempts: int) -> str:
    """The process of the last attempt; times are by its own clock."""
    began, until = (datetime.fromtimestamp(moment, UTC) for moment in (last.began, last.until))
    seen = f"{'ended' if last.ended else 'seen'} {until:%H:%M:%S}, after {duration(last.until - last.began)}"
    job = f", Ray job {last.job}" if last.job else ""
    which = f", attempt {attempts}" if attempts > 1 else ""
    return f"{last.host}, process {last.pid}{job}, since {began:%Y-%m-%d %H:%M:%S} UTC{which}, {seen}"


def places(found: RunStatus, name: str) -> list[str]:
    """The location of something in the run folder or in its newest round's folder; empty if there is none."""
    folders = [manifests.folder(found.run_dir, row["round"]) for row in reversed(found.rounds)]
    candidates = (locations.join(folder, name) for folder in [found.run_dir, *folders])
    return [location for location in candidates if locations.exists(location)][:1]


if __name__ == "__main__":
    sys.exit(main())
