"""The error type that users read, and what an exception says in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")  # also what a terminal would take for an order
_TRACE_LINE = re.compile(r'^\s*File ".*", line \d+', re.MULTILINE)  # in the text of an exception of another process


HURT = "it was cut short or changed; restore it from a copy, or begin anew in another run_dir"  # of a run's own files


class UserError(ValueError):
    """Bad input: one line that says what is wrong, where, and what to do.

    Jobs print it without a trace and exit with code 2; finished work is never touched. What it quotes, as a file's
    column or name, may have line breaks: they become spaces.
    """

    def __init__(self, line: str) -> None:
        super().__init__(_BREAKS.sub(" ", line))


class WorkerDiedError(RuntimeError):
    """A worker's process was ended from outside, or ended itself, as often as it may be replaced: one line.

    Jobs print it without a trace and exit with code 1: the same command may do better on another node.
    """


def user_error_line(error: BaseException) -> str | None:
    """The message of the UserError behind an exception; none if there is no UserError.

    Ray Data hands on a worker's exception as text, so its trace is searched for the class's name.
    """
    if type(error) is UserError:
        return str(error)
    lines = re.findall(rf"^{UserError.__module__}\.{UserError.__name__}: (.+)$", str(error), re.MULTILINE)
    return lines[-1] if lines else None


def one_line(error: BaseException) -> str:
    """An exception in one line: its class and the first line of its message.

    Of a UserError it is the message alone, of an exception whose message is another process's trace (Ray's do that)
    the trace's last line.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if type(error) is UserError and lines:
        return lines[0]
    if _TRACE_LINE.search(str(error)):
        return lines[-1]
    return ": ".join([type(error).__name__, *lines[:1]])


def reason(error: BaseException) -> str:
    """`one_line`, or what the operating system says alone: for sentences that name the file themselves."""
    return (isinstance(error, OSError) and error.strerror) or one_line(error)


def causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that led to it, nearest first; also those that Ray keeps in attributes of its own."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__, getattr(one, "cause", None)]
        waiting += list(getattr(one, "worker_failures", {}).values())
