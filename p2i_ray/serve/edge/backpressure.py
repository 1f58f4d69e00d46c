"""Temporary conditions under which a request can't be served."""

from __future__ import annotations


class Overloaded(Exception):  # noqa: N818, it is a state, not an error
    """The service is at its capacity; the attribute says when to send the request again."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"busy; try again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class NotReady(Exception):  # noqa: N818
    """The models are being loaded, or were lost and are being restarted."""
