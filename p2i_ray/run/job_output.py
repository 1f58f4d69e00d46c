"""The output folder of a job that is no run: new, or left unfinished by the same job, which then goes on with it.

A job that adds to what it has finished says so: its folder is then taken, too.

At most one process works on it; see lease.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from p2i_ray.errors import UserError
from p2i_ray.run import lease
from p2i_ray.storage import folders, locations

MARKER = "unfinished.txt"  # in the folder until the job has written everything
ADVICE = "The same command finishes this."


def check(out: str, job: str, *, adds: bool = False) -> None:
    """Check that a job may write to a folder, and leave it as it is.

    Args:
        out: location of the folder.
        job: name of the job.
        adds: whether the folder is a finished one of this job, to which it adds.

    Raises:
        UserError: the folder holds something else, or another process works on it.
    """
    lease.check_free(locations.join(out, lease.FILE))
    _check_content(out, job, adds)


@contextmanager
def held(out: str, job: str, *, adds: bool = False) -> Iterator[None]:
    """Make the folder, or take one that the same job left unfinished, and work on it alone; what is there stays.

    When the block ends without an error everything has been written, and the folder is no job's any more.

    Args:
        out: location of the folder.
        job: name of the job.
        adds: as of `check`.

    Raises:
        UserError: the folder holds something else, or another process works on it.
    """
    _check_content(out, job, adds)
    with lease.held(locations.join(out, lease.FILE)):
        _check_content(out, job, adds)  # meanwhile somebody may have finished it
        marker = locations.join(out, MARKER)
        locations.write_text(marker, f"{job}\n{ADVICE}\n")
        yield
        locations.remove(marker)


def check_finished(folder: str) -> None:
    """Check that a folder which is to be read is not one that a job left unfinished: a part would be taken for all.

    Raises:
        UserError: it is, or the job still works on it.
    """
    marker = locations.join(folder, MARKER)
    if locations.exists(marker):
        begun_by, *more = locations.read_bytes(marker).decode("utf-8", "replace").splitlines() or [""]
        if more == [ADVICE]:  # else it is a file of the user's
            raise UserError(
                f"{folder} is not finished by the job that writes it ({begun_by}); its command goes on with it"
            )


def _check_content(out: str, job: str, adds: bool) -> None:
    marker = locations.join(out, MARKER)
    if locations.exists(marker):
        begun_by = locations.read_bytes(marker).decode("utf-8", "replace").split("\n")[0]
        if begun_by == job:
            return
        raise UserError(f"{out} was left unfinished by another job; give another out, or remove it")
    if not adds and locations.exists(out) and not folders.is_empty(out, lease.FILE):
        raise UserError(f"{out} is there already; give another out, or remove it")
