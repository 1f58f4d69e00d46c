"""A full disk, an unreachable run folder or a silent bucket reported as one line: none is a defect, and all pass.

Such an exception may come from anywhere: from a small file that the driver writes, from a Ray Data task, as text in
the exception of another process, or while another exception is being handled. So the whole loop is watched for them
in one place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from p2i_ray.errors import UserError, causes
from p2i_ray.storage import locations
from p2i_ray.storage.bucket_errors import unanswered, unanswered_line
from p2i_ray.storage.disk_full import disk_full_cause, full_line

MARKER = "config.yaml"  # in every run folder, from its beginning


@contextmanager
def explained(run_dir: str) -> Iterator[None]:
    """Turn exceptions that a disk or a bucket has caused into UserErrors; any other leaves the block as it is.

    Args:
        run_dir: the run folder.

    Raises:
        UserError: one line that says what to do. A UserError that was raised in the block takes precedence over what
            the same disk did to those who handled it.
    """
    try:
        yield
    except Exception as error:
        line = explanation(error, run_dir)
        if line is None or str(error) == line:
            raise
        raise UserError(line) from error


def explanation(error: BaseException, run_dir: str) -> str | None:
    """The line for an exception that a disk, a bucket or a UserError is behind; none for any other."""
    chain = list(causes(error))
    for one in chain:
        if type(one) is UserError:
            return str(one)
    if (full := disk_full_cause(error)) is not None:
        return full_line(full, run_dir)
    if locations.is_uri(run_dir) and (why := unanswered(error) or _silence(run_dir)) is not None:
        return unanswered_line(run_dir, why)
    if is_away(run_dir):
        return away_line(run_dir)
    for one in chain:
        if "FileNotFoundError" in f"{type(one).__name__} {one}" and run_dir in str(one):
            return f"a file below {run_dir} is not there, maybe because its disk was away; give the same command again"
    return None


def _silence(run_dir: str) -> str | None:
    """The reason why a bucket doesn't answer now; none: it does."""
    try:
        is_away(run_dir)
    except Exception as error:  # each bucket's client has errors of its own
        return unanswered(error)
    return None


def is_away(run_dir: str) -> bool:
    """Whether a run folder that was there isn't: seen from within, a new folder would look the same."""
    return not locations.exists(locations.join(run_dir, MARKER))


def away_line(run_dir: str) -> str:
    """The line for a run folder that is away."""
    return f"the run folder {run_dir} is away; when it is back (is its disk mounted?) give the same command again"
