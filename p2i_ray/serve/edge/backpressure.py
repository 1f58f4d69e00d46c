"""Why a request can't be served now: both pass."""

from __future__ import annotations


class Overloaded(Exception):  # noqa: N818, it is a state, not a mistake
    """There is no room for this request now; the attribute says when to come again."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"busy; try again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class NotReady(Exception):  # noqa: N818
    """The models are being loaded, or were lost and are being started again."""
