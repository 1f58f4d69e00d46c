"""Compare two pictures of one product: the judge's probability of "first", asked in both orders.

A judge prefers a place, too: some the first picture, some the last. Asked in both orders, what it prefers by place
cancels out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from p2i_ray.judge.requests import constraints, parsing
from p2i_ray.judge.requests.prompts import Prompt, comparison_messages
from p2i_ray.judge.requests.tasks import ChatRequest, Reply, image_part

COMPARISONS = pa.schema(
    [
        ("id", pa.string()),
        ("p_first", pa.float64()),  # 0..1; null: set aside
        ("error", pa.string()),  # reason why the row was set aside; null: judged
    ]
)


@dataclass(frozen=True)
class ComparisonTask:
    """A question whose answer is one constrained word, first or second."""

    prompt: Prompt
    schema: pa.Schema = field(default=COMPARISONS, repr=False)

    def request(self, name: str, picture: bytes, cutout: bytes | None = None) -> ChatRequest:
        """See JudgeTask; the second picture has the place of the cutout, and is always there."""
        assert cutout is not None
        messages = comparison_messages(self.prompt, name, image_part(picture), image_part(cutout))
        return ChatRequest(messages, 1, choice=constraints.FIRST_OR_SECOND, probabilities=True)

    def rest(self, request: ChatRequest, reply: Reply) -> ChatRequest | None:
        """None: the first token decides."""
        return None

    def columns(self, reply: Reply, rest: Reply | None = None) -> dict[str, Any]:
        """The column p_first."""
        return {"p_first": parsing.read_first_word(reply.step, constraints.FIRST_OR_SECOND)}


def preferences(number: int, first: dict[tuple[int, int], float | None]) -> list[float | None]:
    """Preference for each picture over the others: its mean probability over both orders of every pair, 0..1.

    Args:
        number: of pictures.
        first: the probability that the first is better, of ordered pairs of them (first, second); none: no answer.

    Returns:
        None for a picture of which no pair was answered in both orders: half an answer would favour a place.
    """
    won: list[list[float]] = [[] for _ in range(number)]
    for (one, other), p in first.items():
        swapped = first.get((other, one))
        if p is not None and swapped is not None:
            won[one].append((p + 1 - swapped) / 2)
    return [sum(shares) / len(shares) if shares else None for shares in won]
