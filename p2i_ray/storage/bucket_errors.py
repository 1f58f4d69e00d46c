"""Recognise a bucket's failure behind an exception: a refusal, no answer, or 503 longer than its client asks again."""

from __future__ import annotations

import errno
import os
import re

from p2i_ray.errors import causes, one_line, reason

# s3fs gives 503 and 500 these numbers, which disks use too, with a file's name or the system's own words; gcsfs has an
# exception of its own for all codes.
REFUSED = (errno.EBUSY, errno.EREMOTEIO)
PASSING_CODES = (408, 429, 500, 502, 503, 504)
# Full names of what the clients raise without a connection; they are slow to import.
NO_CONNECTION = (
    r"(?:aiobotocore|aiohttp|botocore|fsspec|google\.auth)\.[\w.]*\b(?:ClientConnectorError|ClientOSError|"
    "ConnectTimeoutError|ConnectionClosedError|EndpointConnectionError|FSTimeoutError|ReadTimeoutError|"
    "ServerDisconnectedError|TransportError)"
)
_NUMBERS, _CODES = ("|".join(map(str, values)) for values in (REFUSED, PASSING_CODES))
_OF_DISKS = "|".join(map(os.strerror, REFUSED))
AS_TEXT = re.compile(
    rf"\[Errno (?:{_NUMBERS})\] (?!{_OF_DISKS})|\b{NO_CONNECTION}\b|\bSlowDown\b|"
    rf"\bHttpError: .*, (?:{_CODES})$",
    re.MULTILINE,
)

# s3fs has its own lines for 403 and for keys that are wrong or out of date, without a number; a disk's have one.
REFUSED_AS_TEXT = re.compile(
    r"\bPermissionError: (?!\[Errno)|\bOSError: Forbidden: |\bHttpError: .*, 40[13]$|"
    r"\bbotocore\.exceptions\.\w*(?:Credentials|Token)\w*Error\b",
    re.MULTILINE,
)


def unanswered(error: BaseException) -> str | None:
    """The bucket's failure that led to an exception, if it may pass; none: something else led to it."""
    for cause in causes(error):
        if _passes(cause):
            return reason(cause)
        if found := AS_TEXT.search(str(cause)):  # Ray and Arrow hand on errors of other processes as text
            return _line_of(str(cause), found.start())
    return None


def unanswered_line(location: str | None, why: str) -> str:
    """The line for a bucket that didn't answer; none: it is not known which."""
    which = f"the bucket of {location}" if location else "a bucket"
    return f"{which} doesn't answer ({why}); give the same command again when it does"


def refused(error: BaseException) -> str | None:
    """The bucket's refusal, for want of rights, that led to an exception; none: something else led to it."""
    for cause in causes(error):
        named = f"{type(cause).__module__}.{type(cause).__name__}: {cause}".split("\n")[0]
        if not _has_number(cause) and REFUSED_AS_TEXT.search(named):
            return one_line(cause)
        if found := REFUSED_AS_TEXT.search(str(cause)):
            return _line_of(str(cause), found.start())
    return None


def refused_line(why: str) -> str:
    """The line for a bucket that refused a request."""
    return (
        f"a bucket refuses what this job needs ({why}); give it credentials that are valid and may read, write and "
        "delete there, and the same command again"
    )


def _has_number(error: BaseException) -> bool:
    return getattr(error, "errno", None) is not None


def _passes(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in REFUSED:
        return error.filename is None
    if type(error).__name__ == "HttpError":
        return str(getattr(error, "code", "")) in map(str, PASSING_CODES)
    return re.fullmatch(NO_CONNECTION, f"{type(error).__module__}.{type(error).__name__}") is not None


def _line_of(text: str, position: int) -> str:
    begin, end = text.rfind("\n", 0, position) + 1, text.find("\n", position)
    return text[begin : end if end >= 0 else None].strip()
