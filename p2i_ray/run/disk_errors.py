"""A disk that is full, and a run folder that is away, told as one line: neither is a defect, and both pass.

Exceptions of such a kind come from anywhere: from a small file that the driver writes, from a Ray Data task, as text in
the exception of another process, or while another exception is being handled. So they are looked for once, around the
whole loop.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from p2i_ray.errors import UserError
from p2i_ray.storage import locations

FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_AS_TEXT = re.compile(rf"\[[Ee]rrno (?:{'|'.join(map(str, FULL))})\]")
MARK = "config.yaml"  # in every run folder, from its beginning


@contextmanager
def trouble_told(run_dir: str) -> Iterator[None]:
    """Have trouble with the disk leave the block as a UserError; any other exception leaves it as it is.

    Args:
        run_dir: the run folder.

    Raises:
        UserError: one line that says what to do. One that was raised in the block goes before what the same trouble
            did to those who handled it.
    """
    try:
        yield
    except Exception as error:
        line = trouble(error, run_dir)
        if line is None or str(error) == line:
            raise
        raise UserError(line) from error


def trouble(error: BaseException, run_dir: str) -> str | None:
    """The line for an exception that a disk is behind, or a UserError; none: it is something else."""
    chain = list(_chain(error))
    for one in chain:
        if type(one) is UserError:
            return str(one)
    for one in chain:
        if (isinstance(one, OSError) and one.errno in FULL) or FULL_AS_TEXT.search(str(one)):
            place = getattr(one, "filename", None) or run_dir
            return f"no room is left on the disk of {place}; make room and give the same command again"
    if away(run_dir):
        return away_line(run_dir)
    for one in chain:
        if "FileNotFoundError" in f"{type(one).__name__} {one}" and run_dir in str(one):
            return f"a file below {run_dir} is not there, maybe because its disk was away; give the same command again"
    return None


def away(run_dir: str) -> bool:
    """Whether a run folder that was there isn't: one in which nothing is done looks the same from within."""
    return not locations.exists(locations.join(run_dir, MARK))


def away_line(run_dir: str) -> str:
    """What to tell of it."""
    return f"the run folder {run_dir} is away; when it is back (is its disk mounted?) give the same command again"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, and all that led to it; Ray keeps some in attributes of its own."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__, getattr(one, "cause", None)]
        waiting += list(getattr(one, "worker_failures", {}).values())
