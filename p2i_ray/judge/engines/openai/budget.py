"""What an endpoint has cost so far, and the limit that a job may spend."""

from __future__ import annotations

from p2i_ray.config import HostedConfig
from p2i_ray.errors import UserError


class Budget:
    """Counts tokens and dollars of one endpoint's replies.

    A group of requests is admitted whole or not at all, by the dearest request so far: replies that were paid for
    come back with their group. What one request costs is known after the first, which goes alone; should later ones
    be dearer, the limit is passed by no more than the requests in flight.

    Args:
        settings: prices and limit.
    """

    def __init__(self, settings: HostedConfig) -> None:
        self._settings = settings
        self._promised = 0  # requests admitted and not answered yet
        self._dearest = 0.0  # USD
        self.paid = 0  # requests whose usage is known
        self.input_tokens = 0
        self.output_tokens = 0

    @property
    def usd(self) -> float:
        """US dollars so far."""
        prices = self._settings
        return (
            self.input_tokens * prices.usd_per_million_input + self.output_tokens * prices.usd_per_million_output
        ) / 1e6

    def admit(self, requests: int) -> None:
        """Promise that so many requests may be made; each is taken back by `done`.

        Raises:
            UserError: they would pass the limit.
        """
        self._check(self._promised + requests)
        self._promised += requests

    def check(self) -> None:
        """Just before a request.

        Raises:
            UserError: even this one alone would pass the limit.
        """
        self._check(1)

    def done(self) -> None:
        """A promised request is over, answered or not."""
        self._promised -= 1

    def add(self, input_tokens: int, output_tokens: int) -> None:
        """Count a reply."""
        before = self.usd
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.paid += 1
        self._dearest = max(self._dearest, self.usd - before)

    def _check(self, requests: int) -> None:
        limit = self._settings.max_usd
        if limit is not None and self.usd + requests * self._dearest > limit:
            raise UserError(
                f"the judge's spending limit judge.hosted.max_usd={limit:g} is reached after {self.paid} requests "
                f"({self.usd:.4g} USD): rows already scored are kept in the cache; raise it and run the same command"
            )
