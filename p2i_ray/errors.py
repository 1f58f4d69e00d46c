"""The one error that a person is meant to read."""

from __future__ import annotations

import re


class UserError(ValueError):
    """Bad input: one line that says what is wrong, where, and what to do.

    Jobs print it without a trace and exit with code 2; nothing that was finished is touched.
    """


def users_mistake(error: BaseException) -> str | None:
    """The line of the UserError behind an exception, if there is one.

    Ray Data hands a worker's exception on as text, so its trace is searched for the class's name.
    """
    if type(error) is UserError:
        return str(error)
    lines = re.findall(rf"^{UserError.__module__}\.{UserError.__name__}: (.+)$", str(error), re.MULTILINE)
    return lines[-1] if lines else None


def brief(error: BaseException) -> str:
    """An exception in a line: what it is and says, or the last line of the trace that Ray hands on as text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 or isinstance(error, UserError):
        return lines[-1]
    return ": ".join([type(error).__name__, *lines])
