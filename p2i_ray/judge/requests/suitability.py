"""Whether a background suits its product, as the judge's probability of "yes": VQAScore (Lin et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from p2i_ray.judge.requests import constraints, parsing
from p2i_ray.judge.requests.prompts import Prompt, suitability_messages
from p2i_ray.judge.requests.tasks import ChatRequest, Reply, image_part

SUITABILITY = pa.schema(
    [
        ("id", pa.string()),
        ("p_yes", pa.float64()),  # 0..1; null: set aside
        ("error", pa.string()),  # reason why the row was set aside; null: judged
    ]
)


@dataclass(frozen=True)
class SuitabilityTask:
    """A question whose answer is one constrained token, of yes or of no."""

    prompt: Prompt
    schema: pa.Schema = field(default=SUITABILITY, repr=False)

    def request(self, name: str, picture: bytes, cutout: bytes | None = None) -> ChatRequest:
        """See JudgeTask."""
        shown = None if cutout is None else image_part(cutout)
        messages = suitability_messages(self.prompt, name, image_part(picture), cutout=shown)
        return ChatRequest(messages, 1, choice=constraints.YES_OR_NO, probabilities=True)

    def rest(self, request: ChatRequest, reply: Reply) -> ChatRequest | None:
        """None: the first token decides."""
        return None

    def columns(self, reply: Reply, rest: Reply | None = None) -> dict[str, Any]:
        """The column p_yes."""
        return {"p_yes": parsing.read_yes(reply.step)}
