"""Conditions under which a request can't be served: temporary ones, and too much work."""

from __future__ import annotations


class Overloaded(Exception):  # noqa: N818, it is a state, not an error
    """The service is at its capacity; the attribute says when to send the request again."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"busy; try again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class Late(Overloaded):
    """An image wasn't painted in time, by a sampler that runs, but so slowly that nothing is known of its pace.

    Args:
        retry_after_s: see Overloaded.
        most_s: the time, seconds.
    """

    def __init__(self, retry_after_s: float, most_s: float) -> None:
        super().__init__(retry_after_s)
        self.most_s = most_s


class TooMuchWork(Exception):  # noqa: N818
    """A request takes longer than one may, however quiet the service is; the attributes are seconds."""

    def __init__(self, takes_s: float, most_s: float) -> None:
        super().__init__(
            f"this takes about {takes_s:.0f} s to paint, and may take {most_s:.0f} s; ask for fewer pictures or steps, "
            "or a smaller size"
        )
        self.takes_s, self.most_s = takes_s, most_s


class NotReady(Exception):  # noqa: N818
    """The models are being loaded, or were lost and are being restarted."""


class CannotSign(NotReady):
    """The certificate that pictures are signed with has ended."""
