"""Idempotency keys: a submission that is sent again gives the job that is there.

The job's id follows from the client and the key, and a job's folder appears by one rename: of submissions with one key,
in however many processes, one becomes the job. Nothing else is stored, so that a key is known as long as its job is.
"""

from __future__ import annotations

import hashlib
import re
import secrets

from starlette.datastructures import Headers

from p2i_ray.serve.edge.errors import APIError, bad_request
from p2i_ray.serve.edge.forms import Form
from p2i_ray.serve.jobs.schema import Job

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"  # header of an answer that tells of a job that was there
_KEY = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?")


def read_key(headers: Headers) -> str | None:
    """A request's key; none: it has none.

    Raises:
        APIError: it is no key, or there are several.
    """
    keys = headers.getlist(HEADER)
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise bad_request(f"{HEADER} must be 1 to 255 ASCII characters, given once, such as a UUID", HEADER)
    return keys[0]


def job_id(client: bytes, key: str) -> str:
    """The id of the job that a client's key stands for."""
    return f"job_{hashlib.sha256(b'idempotency' + client + key.encode('ascii')).hexdigest()[:32]}"


def digest(form: Form) -> str:
    """A digest of a form's fields and files, in whichever order they came. Slow with large ones: for a thread."""
    found = hashlib.sha256()
    parts = [(b"text", name, text.encode("utf-8")) for name, text in form.texts.items()]
    parts += [(b"file", name, content) for name, contents in form.files.items() for content in contents]
    for kind, name, content in sorted(parts, key=lambda part: (part[0], part[1])):
        for piece in (kind, name.encode("utf-8", "surrogatepass"), content):
            found.update(len(piece).to_bytes(8, "big"))
            found.update(piece)
    return found.hexdigest()


def check_same(job: Job, content: str) -> None:
    """Refuse other content under a key that is taken.

    Args:
        job: that the key stands for.
        content: digest of what was sent now.

    Raises:
        APIError: 409.
    """
    if job.content is None or not secrets.compare_digest(job.content, content):
        text = f"this {HEADER} was used for a job with other content; send another key, or what was sent before"
        raise APIError(409, text, HEADER, "idempotency_key_reused")
