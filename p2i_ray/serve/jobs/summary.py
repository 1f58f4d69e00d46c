"""The totals of a finished job, summary.json of its result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from p2i_ray.serve.jobs.schema import Job, Record


def summary(job: Job, records: Sequence[Record]) -> dict[str, Any]:
    """What came of a job's items, and what was said of it before the start.

    Args:
        job: that is finished.
        records: of its items, as results.json has them.

    Returns:
        Numbers of items, pictures and candidates painted, and the seconds that items took, each by itself.
    """
    outcomes = Counter(record["status"] for record in records)
    done = [item for item, record in zip(job.rows, records, strict=True) if record["status"] == "done"]
    return {
        "id": job.id,
        "items": len(records),
        "done": outcomes["done"],
        "failed": outcomes["failed"],
        "cancelled": outcomes["cancelled"],
        "pictures": sum(len(record["pictures"]) for record in records),
        "candidates": sum(item.candidates for item in done),
        "seconds": round(sum(record.get("seconds", 0.0) for record in records), 3),
        "estimate": job.estimate.model_dump() if job.estimate else None,
    }
