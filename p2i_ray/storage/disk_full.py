"""Recognise a full disk behind an exception, of this process or of another one."""

from __future__ import annotations

import errno
import re

from p2i_ray.errors import causes

FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_AS_TEXT = re.compile(rf"\[[Ee]rrno (?:{'|'.join(map(str, FULL))})\]")
QUOTED_PATH = re.compile(rf"{FULL_AS_TEXT.pattern}[^:\n]*: (['\"])(?P<path>[^\n]+?)\1")
REMEDY = "make room and give the same command again"


def is_disk_full(error: BaseException) -> bool:
    """Whether a full disk or an exhausted quota led to an exception."""
    return disk_full_cause(error) is not None


def disk_full_cause(error: BaseException) -> BaseException | None:
    """The exception among an exception's causes that met the full disk; none if there is none.

    It is an OSError, or an exception that quotes one: Ray and Arrow hand on errors as text.
    """
    for cause in causes(error):
        if (isinstance(cause, OSError) and cause.errno in FULL) or FULL_AS_TEXT.search(str(cause)):
            return cause
    return None


def full_path(cause: BaseException) -> str | None:
    """The file that found no room, as far as the exception says."""
    path = getattr(cause, "filename", None)
    if path is None and (quoted := QUOTED_PATH.search(str(cause))):  # of another process
        return quoted["path"]
    return None if path is None else str(path)


def full_line(cause: BaseException, location: str | None = None) -> str:
    """The line for an exception that met the full disk.

    Args:
        cause: as of `disk_full_cause`.
        location: that was probably written to, where the exception doesn't say (none: nobody knows).
    """
    where = full_path(cause) or location
    return f"no room is left on {f'the disk of {where}' if where else 'a disk'}; {REMEDY}"
