"""Batch jobs as they are stored: items, what was said of their price before the start, progress."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel

from p2i_ray.serve.images.schema import EditRequest

Status = Literal["queued", "running", "paused", "completed", "cancelled"]
Record = dict[str, Any]  # an item's outcome, as results.json has it


class JobItem(BaseModel):
    """One product of a job, in one style and size.

    Attributes:
        index: in the job's order.
        ask: the images edit; job.json's key.
        image, mask, reference: numbers of the job's inputs.
        style: label of the style that was laid over the product (none: the job has no styles).
        size: of its files, WIDTHxHEIGHT in pixels; of crops the canvas's; auto: a picture's, which decides (none:
            written by an older version).
        work: of each candidate, see `diffusion.sampling.request.work` (0: written by an older version).
    """

    index: int
    ask: EditRequest
    image: int
    mask: int | None = None
    reference: int | None = None
    style: str | None = None
    size: str | None = None
    work: float = 0.0

    @property
    def candidates(self) -> int:
        """Images that are painted for it at most."""
        return self.ask.max_candidates or self.ask.best_of or self.ask.n


class Estimate(BaseModel):
    """A job's time and cost, said before its start.

    Attributes:
        pictures: that it returns, at most.
        candidates: that it paints, at most.
        seconds: of painting, with the server to itself (none: not known yet).
        dollars: of the replicas that paint meanwhile (none: not known).
        note: what the figures leave out, or why there are none.
    """

    pictures: int
    candidates: int
    seconds: float | None
    dollars: float | None
    note: str


class Job(BaseModel):
    """A submission; never changes.

    Attributes:
        id: its name.
        owner: salted digest of its client.
        created: Unix time, seconds.
        rows: its items; job.json's key.
        content: digest of what was sent, where it came with an idempotency key.
        estimate: what was said of it (none: written by an older version).
        dollars_per_hour: of a replica of the sampler (none: not known).
        webhook: URL that is told when it ends.
    """

    id: str
    owner: str
    created: int
    rows: list[JobItem]
    content: str | None = None
    estimate: Estimate | None = None
    dollars_per_hour: float | None = None
    webhook: str | None = None

    def is_owned_by(self, client: bytes) -> bool:
        """Whether it is a client's."""
        return secrets.compare_digest(self.owner, _owner(self.id, client))


def new_id() -> str:
    """The id of a new job."""
    return f"job_{secrets.token_hex(16)}"


def new_job(client: bytes, items: Sequence[JobItem], name: str | None = None, **about: Any) -> Job:
    """A client's job, submitted now.

    Args:
        client: the owner.
        items: of the job.
        name: its id (none: a new one).
        about: further attributes.
    """
    name = name or new_id()
    return Job(id=name, owner=_owner(name, client), created=int(time.time()), rows=list(items), **about)


def _owner(name: str, client: bytes) -> str:
    """The digest of a job's owner, salted with the job's id: a job shows no token, and not which jobs share one."""
    return hashlib.sha256(name.encode("ascii") + client).hexdigest()


class Delivery(BaseModel):
    """The state of the message to a job's webhook.

    Attributes:
        id: of the message (none: written by an older version). The job's would not do: an order that is sent anew under
            an idempotency key has the id of the one that was deleted.
        status: failed: it was given up.
        tries: so far.
        next: Unix time of the next one, seconds.
        error: why the last one failed.
    """

    id: str | None = None
    status: Literal["pending", "delivered", "failed"] = "pending"
    tries: int = 0
    next: float = 0.0
    error: str | None = None


class Progress(BaseModel):
    """The progress of a job.

    Attributes:
        status: paused: nothing more of it is painted until it is resumed.
        total, done, failed: items.
        pictures: that are there.
        elapsed_s: from its submission to its end, or to now; pauses included.
        remaining_s: of painting at the pace of its own items so far, else at the estimate's (none: not known yet).
    """

    status: Status
    total: int
    done: int
    failed: int
    pictures: int
    elapsed_s: float
    remaining_s: float | None
