"""The totals of a finished job, summary.json of its result: what came of it, and what an approved picture cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from p2i_ray.serve.jobs.schema import Job, JobItem, Record


def summary(job: Job, records: Sequence[Record]) -> dict[str, Any]:
    """Totals of a job's items, and the quote before the start.

    Args:
        job: that is finished.
        records: of its items, as results.json has them.

    Returns:
        Numbers of items and pictures; candidates that were painted; how many were refused, by reason; the seconds that
        items took, each by itself; the seconds of sampler replicas; `by_accept`, see `cost`, of the items of each kind.
    """
    outcomes = Counter(record["status"] for record in records)
    pairs = list(zip(job.rows, records, strict=True))
    kinds = dict.fromkeys(item.ask.accept for item in job.rows)
    own = {kind: [record for item, record in pairs if item.ask.accept == kind] for kind in kinds}
    return {
        "id": job.id,
        "items": len(records),
        "done": outcomes["done"],
        "failed": outcomes["failed"],
        "cancelled": outcomes["cancelled"],
        "pictures": sum(len(record["pictures"]) for record in records),
        "candidates": sum(_painted(item, record) for item, record in pairs),
        "refused": dict(sum((Counter(record.get("refused", {})) for record in records), Counter()).most_common()),
        "seconds": round(sum(record.get("seconds", 0.0) for record in records), 3),
        "replica_seconds": _replica_seconds(records),
        "by_accept": {kind: cost(found, job.dollars_per_hour) for kind, found in own.items()},
        "estimate": job.estimate.model_dump() if job.estimate else None,
    }


def cost(records: Sequence[Record], dollars_per_hour: float | None) -> dict[str, Any]:
    """The cost of the pictures of items that accept the same, refused candidates included.

    The seconds are of sampler replicas: the judge's come on top. An image that was cropped counts once.

    Args:
        records: of the items.
        dollars_per_hour: of a replica (none: the price isn't known).

    Returns:
        The images that were accepted, the replica seconds, and for each accepted image seconds and dollars; none where
        there is no image, or no price.
    """
    images = sum(len({picture.get("seed") for picture in record["pictures"]}) for record in records)
    seconds = _replica_seconds(records)
    each = round(seconds / images, 3) if images else None
    priced = each is not None and dollars_per_hour is not None
    dollars = round(seconds / images / 3_600 * (dollars_per_hour or 0.0), 6) if priced else None
    return {"images": images, "replica_seconds": seconds, "seconds_per_image": each, "dollars_per_image": dollars}


def _painted(item: JobItem, record: Record) -> int:
    """Candidates of an item; those of older versions are known only where it is done."""
    return int(record.get("painted", item.candidates if record["status"] == "done" else 0))


def _replica_seconds(records: Iterable[Record]) -> float:
    return round(sum(float(record.get("replica_seconds", 0.0)) for record in records), 3)
