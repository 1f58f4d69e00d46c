"""A job's time and cost, said before its start: from the pace that was measured and the price of a replica."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from p2i_ray.serve.edge.errors import APIError, bad_request
from p2i_ray.serve.images.protocol import Sampler
from p2i_ray.serve.jobs.schema import Estimate, JobItem

UNKNOWN_PACE = "the time isn't known: too few pictures were painted since the server's start to tell its pace"
NO_PRICE = "the price isn't known: this server has no serve.dollars_per_hour"
FIGURES = "painting alone, with the server to itself: decoding and encoding{judge} come on top, and other work"
JUDGE = ", the judge's time for best_of and accept=approved"
AT_MOST = "as if all candidates were painted, which accept=faultless and approved need only where pictures are refused"


def estimate(items: Sequence[JobItem], sampler: Sampler, *, workers: int, dollars_per_hour: float | None) -> Estimate:
    """The estimate of a job.

    Args:
        items: of the job.
        sampler: knows its pace.
        workers: items painted at a time.
        dollars_per_hour: of a replica of the sampler (none: not known).
    """
    together = min(workers, len(items))
    kinds = Counter((item.candidates, item.work) for item in items)
    seconds, replica_seconds, known = 0.0, 0.0, True
    for (candidates, work), count in kinds.items():
        took = sampler.time_of(candidates * together, work)
        if took is None:
            known = False
            break
        seconds += took.seconds / together * count
        replica_seconds += took.seconds * took.replicas / together * count
    asks = [item.ask for item in items]
    judge = JUDGE if any(ask.best_of or ask.accept == "approved" for ask in asks) else ""
    notes = [FIGURES.format(judge=judge) if known else UNKNOWN_PACE]
    if known and any(ask.accept != "any" for ask in asks):
        notes.append(AT_MOST)
    if dollars_per_hour is None:
        notes.append(NO_PRICE)
    priced = known and dollars_per_hour is not None
    return Estimate(
        pictures=sum(item.ask.pictures for item in items),
        candidates=sum(item.candidates for item in items),
        seconds=round(seconds, 2) if known else None,
        dollars=round(replica_seconds / 3_600 * (dollars_per_hour or 0.0), 4) if priced else None,
        note="; ".join(notes),
    )


def read_max_dollars(text: str) -> float | None:
    """The most that a submission may cost; none: it doesn't say.

    Raises:
        APIError: it is no amount.
    """
    if not text.strip():
        return None
    try:
        most = float(text)
    except ValueError:
        most = -1.0
    if not 0 <= most < float("inf"):
        raise bad_request("max_dollars must be a number of dollars, such as 2.50", "max_dollars")
    return most


def check_price(said: Estimate, most: float | None) -> None:
    """Refuse a job that costs more than its submission allows.

    Args:
        said: of the job.
        most: dollars (none: any price).

    Raises:
        APIError: it costs more, or nobody knows.
    """
    if most is None:
        return
    if said.dollars is None:
        why = "; ".join(part for part in (UNKNOWN_PACE, NO_PRICE) if part in said.note)
        raise APIError(409, f"max_dollars can't be held: {why}; leave it out", "max_dollars", "price_unknown")
    if said.dollars > most:
        raise bad_request(
            f"this job costs about {said.dollars:g} dollars, and max_dollars is {most:g}; raise it, or order less",
            "max_dollars",
            "too_expensive",
        )
