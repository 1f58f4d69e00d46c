"""The cause of a failure, where the exception doesn't say it or is one of many lines.

Engines and trainers are several processes, and the one that reports often knows only that another has failed; the cause
is in a log.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from p2i_ray.errors import UserError, WorkerDiedError, causes, one_line

TAIL_BYTES = 256_000  # of a log that are looked at
LONGEST = 400  # characters of a cause
RAY_LOGS = "/tmp/ray/session_latest/logs"  # of a node; Ray's default

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
# (EngineCore pid=12) ERROR 11-28 08:38:40 [core.py:946] …
_PREFIX = re.compile(r"^(?:\([^()]*pid=\d+[^()]*\) *)?(?:(?:ERROR|CRITICAL) [\d-]+ [\d:.]+ \[[^\]]+\] ?)?")
_ERROR = re.compile(r"^(?:[A-Za-z_]\w*\.)*(?:\w*(?:Error|Exception)|OutOfMemory\w*): \S")
# What those say that another process has failed, or was ended with it.
_FOLLOWS = re.compile(
    r"see (?:root cause|stack trace|the stack trace)|EngineDeadError|EngineGenerateError|Connection closed by peer"
    r"|Connection reset by peer|ConnectionResetError|BrokenPipeError|Broken pipe|EOFError|cancelled"
    r"|SystemExit|leaked shared_memory|process group .* destroyed",
    re.IGNORECASE,
)
_OUT_OF_MEMORY = re.compile(
    r"out of memory|OutOfMemory|can't allocate memory|cannot allocate memory|std::bad_alloc|MemoryError"
    r"|No available memory for the cache blocks|less than desired GPU memory utilization"
    r"|larger than the (?:available KV cache memory|maximum number of tokens that can be stored in KV cache)"
    r"|running low on memory",  # Ray's monitor; "OOM killer" is in each line of Ray's about a worker that died
    re.IGNORECASE,
)


@contextmanager
def failures_explained(who: str, remedy: str) -> Iterator[None]:
    """Turn the exceptions that memory ran out, of this process or of a worker, and that workers died into one line.

    Args:
        who: the step that ran out of memory, or whose worker died.
        remedy: the settings that lower the memory which it needs.

    Raises:
        UserError: memory ran out.
        WorkerDiedError: a worker's process ended without an exception, as often as it may be replaced.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if (line := memory_line(error)) is not None:
            raise UserError(f"{who} ran out of memory ({line}); {remedy}") from error
        if (line := death_line(error)) is not None:
            raise WorkerDiedError(f"{who}: {line} {remedy}") from error
        raise


def memory_line(error: BaseException) -> str | None:
    """The line of an exception, or of one that led to it, which says that memory ran out; none if none does."""
    for one in causes(error):
        text = f"{type(one).__name__}: {one}"
        if is_out_of_memory(text):
            return last_error(str(one)) or _short(one_line(one))
    return None


def death_line(error: BaseException) -> str | None:
    """The line on a worker whose process ended without an exception; none if an exception is the cause.

    The line ends with the words after which the settings follow that lower the memory.
    """
    from ray.exceptions import RayActorError, WorkerCrashedError

    for one in causes(error):
        if isinstance(one, RayActorError | WorkerCrashedError) and "creation task" not in str(one):
            return (
                f"a worker's process ended without an exception, again each time it was tried ({_short(_said(one))}); "
                f"its last words are in worker-*.err of {RAY_LOGS} on its node. The kernel ends processes when memory "
                "runs out (dmesg tells): then"
            )
    return None


def _said(error: BaseException) -> str:
    """Ray's account of a worker's end, without its guesses."""
    return " ".join(str(error).split("Some common causes include")[0].split()).rstrip(". ")


class OwnLog:
    """Standard output and error of this process, and of those that it starts, from now on.

    Ray has a worker's in files; elsewhere, and where the system doesn't tell which, there is nothing to read.
    """

    def __init__(self) -> None:
        self._from = {path: path.stat().st_size for path in _outputs()}

    def places(self) -> str:
        """Locations of the files; empty if there are none."""
        return ", ".join(map(place, self._from))

    def cause(self) -> str | None:
        """The last error in it with the place of the log, if there is one."""
        for path, begin in reversed(self._from.items()):
            with path.open("rb") as log:
                log.seek(max(begin, path.stat().st_size - TAIL_BYTES))
                line = last_error(log.read().decode("utf-8", "replace"))
            if line:
                return f"{line} (log: {place(path)})"
        return None


def place(path: Path) -> str:
    """A log as people find it: the node's name and the path."""
    return f"{os.uname().nodename}:{path}"


def last_error(log: str) -> str | None:
    """The last error of a log that isn't the mere consequence of another; one that memory ran out goes first.

    Args:
        log: text of one or several processes, with or without vLLM's prefixes and colours.
    """
    lines = [_PREFIX.sub("", _ANSI.sub("", line)).strip() for line in log.splitlines()]
    errors = [line for line in lines if _ERROR.match(line) and not _FOLLOWS.search(line)]
    found = [line for line in errors if is_out_of_memory(line)] or errors
    return _short(found[-1]) if found else None


def is_hidden(message: str) -> bool:
    """Whether an exception says only that the cause is elsewhere."""
    return bool(_FOLLOWS.search(message))


def is_out_of_memory(message: str) -> bool:
    """Whether an exception says that memory ran out, a GPU's or the machine's."""
    return bool(_OUT_OF_MEMORY.search(message))


def _short(line: str) -> str:
    return line if len(line) <= LONGEST else f"{line[:LONGEST].rstrip()} …"


def _outputs() -> list[Path]:
    """The files that standard output and error of this process go to."""
    found = []
    for number in (1, 2):
        try:
            path = Path(f"/proc/self/fd/{number}").readlink()
        except OSError:
            continue
        if path.is_file() and path not in found:
            found.append(path)
    return found
