"""The request of an images edit: OpenAI's fields and ours, typed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, ValidationError

from p2i_ray.config.compositing import LightMode
from p2i_ray.serve.edge.errors import bad_request
from p2i_ray.serve.edge.forms import short
from p2i_ray.serve.edge.texts import given
from p2i_ray.serve.images.acceptance import Accept
from p2i_ray.serve.images.shape_fields import ShapeFields


class EditRequest(ShapeFields):
    """The fields of an images edit: OpenAI's, then ours. OpenAI's fields without effect here are accepted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str = ""
    model: str | None = None
    n: int = 1
    response_format: Literal["b64_json", "url"] = "b64_json"
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: int | None = None
    background: Literal["auto", "opaque", "transparent"] = "auto"
    quality: Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"] = "auto"
    stream: bool = False
    partial_images: int = 0
    input_fidelity: str | None = None
    complexity: str | None = None
    moderation: str | None = None
    user: str | None = None
    safety_identifier: str | None = None

    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    negative_prompt: str = ""
    best_of: int | None = None
    accept: Accept = "any"
    max_candidates: int | None = None
    soft_edge: float | None = None
    check_expansion: bool = False
    category: str | None = None
    shadow: float | None = None
    light: LightMode | None = None

    @property
    def pictures(self) -> int:
        """Pictures of the answer, at most."""
        return self.n * self.files


def parse(fields: dict[str, Any]) -> EditRequest:
    """Fields with their types; null or empty is absent.

    Raises:
        APIError: one is unknown or of the wrong type.
    """
    try:
        return EditRequest.model_validate(given(fields))
    except ValidationError as error:
        first = error.errors()[0]
        name = short(str(first["loc"][0]))
        if first["type"] == "extra_forbidden":
            raise bad_request(f"{name} is not a field this request takes; leave it out", name) from None
        text = f"{first['msg'][:1].lower()}{first['msg'][1:]}"
        raise bad_request(f"{name}: {text}", name) from None
