"""A job's progress, and the time that it still takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from p2i_ray.serve.jobs.schema import Job, JobItem, Progress, Record, Status
from p2i_ray.serve.jobs.store import JobStore


def state(job: Job, store: JobStore, *, workers: int) -> dict[str, Any]:
    """The state of a job for its client. Reads the outcome of each item: for a thread.

    Args:
        job: of any client.
        store: that keeps it.
        workers: items painted at a time.
    """
    found: dict[str, Any] = {"id": job.id, "object": "job", "created": job.created}
    found |= progress(job, store, workers=workers).model_dump()
    if job.estimate is not None:
        found["estimate"] = job.estimate.model_dump()
    if (delivery := store.delivery(job)) is not None:
        found["webhook"] = {"url": job.webhook, **delivery.model_dump(exclude={"id", "next"})}
    return found


def progress(job: Job, store: JobStore, *, workers: int) -> Progress:
    """The progress of a job; see `state`."""
    records, ended = store.records(job), store.ended(job)
    finished = [record for record in records if record["status"] != "cancelled"]
    done = [record for record in finished if record["status"] == "done"]
    status: Status = "running" if finished else "queued"
    if store.is_paused(job):
        status = "paused"
    if ended is not None:
        status = "completed"
    if store.is_cancelled(job):
        status = "cancelled"
    return Progress(
        status=status,
        total=len(records),
        done=len(done),
        failed=len(finished) - len(done),
        pictures=sum(len(record["pictures"]) for record in done),
        elapsed_s=round(max(0.0, (ended or time.time()) - job.created), 1),
        remaining_s=0.0 if status in ("completed", "cancelled") else remaining(job, records, workers=workers),
    )


def remaining(job: Job, records: Sequence[Record], *, workers: int) -> float | None:
    """Seconds of painting that a job has left, at the pace of its items so far, else at its estimate's.

    Args:
        job: that isn't finished.
        records: of its items.
        workers: items painted at a time.

    Returns:
        None while there is neither.
    """
    timed = [item for item, one in zip(job.rows, records, strict=True) if one.get("seconds")]
    left = [item for item, one in zip(job.rows, records, strict=True) if one["status"] == "cancelled"]
    if timed:
        pace: float = sum(one.get("seconds", 0.0) for one in records) / _cost(timed)
        return round(pace * _cost(left) / max(1, min(workers, len(left))), 1)
    if job.estimate is None or job.estimate.seconds is None:
        return None
    return round(job.estimate.seconds * _cost(left) / _cost(job.rows), 1)


def _cost(items: Sequence[JobItem]) -> float:
    """The work of items, in a unit of their own; those of older versions are told apart by their candidates alone."""
    return sum(item.candidates * (item.work or 1.0) for item in items)
