"""Cost of an endpoint so far, and the limit on a job's spending."""

from __future__ import annotations

from p2i_ray.config import HostedConfig
from p2i_ray.errors import UserError


class Budget:
    """Count of the tokens and dollars of one endpoint's replies.

    A group of requests is admitted whole or not at all, at the price of the most expensive request so far, so that paid
    replies are returned with their group. The price is known after the first request, which is sent alone; if later
    ones cost more, the limit is exceeded by no more than the requests in flight.

    Args:
        settings: prices and limit.
    """

    def __init__(self, settings: HostedConfig) -> None:
        self._settings = settings
        self._reserved = 0  # requests admitted and not answered yet
        self._highest_price = 0.0  # USD per request
        self.paid = 0  # requests whose usage is known
        self.input_tokens = 0
        self.output_tokens = 0

    @property
    def usd(self) -> float:
        """US dollars spent so far."""
        prices = self._settings
        return (
            self.input_tokens * prices.usd_per_million_input + self.output_tokens * prices.usd_per_million_output
        ) / 1e6

    def admit(self, requests: int) -> None:
        """Reserve the cost of so many requests; `done` releases one of them.

        Raises:
            UserError: they would exceed the limit.
        """
        self._check(self._reserved + requests)
        self._reserved += requests

    def check(self) -> None:
        """Check the limit just before a request.

        Raises:
            UserError: even this request alone would exceed the limit.
        """
        self._check(1)

    def done(self) -> None:
        """Release the reservation of a request that has ended, answered or not."""
        self._reserved -= 1

    def add(self, input_tokens: int, output_tokens: int) -> None:
        """Count the tokens of a reply."""
        before = self.usd
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.paid += 1
        self._highest_price = max(self._highest_price, self.usd - before)

    def _check(self, requests: int) -> None:
        limit = self._settings.max_usd
        if limit is not None and self.usd + requests * self._highest_price > limit:
            raise UserError(
                f"the judge's spending limit judge.hosted.max_usd={limit:g} is reached after {self.paid} requests "
                f"({self.usd:.4g} USD): rows already scored are kept in the cache; raise it and run the same command"
            )
