"""The output folder of a job that is no run: new, or left unfinished by the same job, which then goes on with it."""

from __future__ import annotations

from p2i_ray.errors import UserError
from p2i_ray.storage import locations

MARKER = "unfinished.txt"  # in the folder until the job has written everything


def check(out: str, job: str) -> None:
    """Check that a job may write to a folder, and leave it as it is.

    Args:
        out: location of the folder.
        job: name of the job.

    Raises:
        UserError: the folder holds something else.
    """
    marker = locations.join(out, MARKER)
    if locations.exists(marker):
        begun_by = locations.read_bytes(marker).decode("utf-8", "replace").split("\n")[0]
        if begun_by == job:
            return
        raise UserError(f"{out} was left unfinished by another job; give another out, or remove it")
    if locations.exists(out) and not locations.is_empty(out):
        raise UserError(f"{out} is there already; give another out, or remove it")


def claim(out: str, job: str) -> None:
    """Make the folder, or take one that the same job left unfinished; what it left there stays.

    Raises:
        UserError: the folder holds something else.
    """
    check(out, job)
    locations.write_text(locations.join(out, MARKER), f"{job}\nThe same command finishes this.\n")


def finish(out: str) -> None:
    """Say that everything is written."""
    locations.remove(locations.join(out, MARKER))
