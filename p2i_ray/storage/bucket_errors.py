"""Recognise a bucket that doesn't answer, or answers 503 for longer than its client asks again, behind an exception."""

from __future__ import annotations

import errno
import re

from p2i_ray.errors import causes, reason

# s3fs gives 503 and 500 these numbers; gcsfs has an exception of its own for all codes.
REFUSED = (errno.EBUSY, errno.EREMOTEIO)
PASSING_CODES = (408, 429, 500, 502, 503, 504)
NO_CONNECTION = (  # of botocore, fsspec, aiohttp and google.auth, which are slow to import
    "ClientConnectorError|ClientOSError|ConnectTimeoutError|ConnectionClosedError|EndpointConnectionError|"
    "FSTimeoutError|ReadTimeoutError|ServerDisconnectedError|TransportError"
)
_NUMBERS, _CODES = ("|".join(map(str, values)) for values in (REFUSED, PASSING_CODES))
AS_TEXT = re.compile(
    rf"\[Errno (?:{_NUMBERS})\]|\b(?:{NO_CONNECTION})\b|\bSlowDown\b|\bHttpError: .*, (?:{_CODES})$", re.MULTILINE
)


def unanswered(error: BaseException) -> str | None:
    """Why a bucket didn't do what was asked, if that led to an exception and may pass; none: something else did."""
    for cause in causes(error):
        if _passes(cause):
            return reason(cause)
        if found := AS_TEXT.search(str(cause)):  # Ray and Arrow hand on errors of other processes as text
            return _line_of(str(cause), found.start())
    return None


def unanswered_line(location: str, why: str) -> str:
    """The line for a bucket that didn't answer."""
    return f"the bucket of {location} doesn't answer ({why}); give the same command again when it does"


def _passes(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in REFUSED:
        return True
    if type(error).__name__ == "HttpError":
        return str(getattr(error, "code", "")) in map(str, PASSING_CODES)
    return re.fullmatch(NO_CONNECTION, type(error).__name__) is not None


def _line_of(text: str, position: int) -> str:
    begin, end = text.rfind("\n", 0, position) + 1, text.find("\n", position)
    return text[begin : end if end >= 0 else None].strip()
