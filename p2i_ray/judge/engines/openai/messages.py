"""A request to the judge as OpenAI's chat completions have it: messages, pictures as data URLs, the reply's form."""

from __future__ import annotations

import base64
import re
from typing import Any

from p2i_ray.config.hosted import HostedConfig
from p2i_ray.judge.requests.tasks import ChatRequest

MEDIA_TYPES = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"RIFF", "image/webp"))
# Control words of common chat templates, which some servers interpret in plain text.
CONTROL_WORDS = re.compile(r"<(?=\||/?s>|/?image>|(?:start|end)_of_|bos>|eos>)|\[(?=/?(?:INST|IMG)\])")


def body(request: ChatRequest, settings: HostedConfig) -> dict[str, Any]:
    """A request as arguments of chat.completions.create.

    Args:
        request: see there.
        settings: of the endpoint.
    """
    found: dict[str, Any] = {
        "messages": [_message(message) for message in request.messages],
        "temperature": 0,
        # Models of SentencePiece (LLaVA) write the space before a choice as a token of its own.
        settings.length_key: request.max_tokens + (request.choice is not None),
    }
    if request.probabilities and settings.logprobs:
        found |= {"logprobs": True, "top_logprobs": settings.top_logprobs}
    if settings.constraint == "vllm" and request.choice:
        # As choice_grammar has it, but not as a grammar, which some servers (jobs/serve_lmm.py) take from nobody.
        choices = [*request.choice, *(f" {one}" for one in request.choice)]
        found["extra_body"] = {"structured_outputs": {"choice": choices}}
    elif settings.constraint == "vllm" and request.grammar:
        found["extra_body"] = {"structured_outputs": {"grammar": request.grammar}}
    elif settings.constraint == "json_schema" and request.json_schema:
        schema = {"name": "reply", "strict": True, "schema": request.json_schema}
        found["response_format"] = {"type": "json_schema", "json_schema": schema}
    return found


def _message(message: dict[str, Any]) -> dict[str, Any]:
    """A message with its pictures as data URLs; one without pictures as plain text, which every server accepts."""
    parts = [_part(part) for part in message["content"]]
    if all(part["type"] == "text" for part in parts):
        return {"role": message["role"], "content": "\n".join(part["text"] for part in parts)}
    return {"role": message["role"], "content": parts}


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if part["type"] == "image":
        return {"type": "image_url", "image_url": {"url": data_url(part["image"])}}
    if part["type"] == "text":
        return {"type": "text", "text": CONTROL_WORDS.sub(lambda found: f"{found[0]} ", part["text"])}
    raise ValueError(f"a message's part is a text or an image, not {part['type']!r}")


def data_url(picture: bytes) -> str:
    """An encoded picture as a data URL; its first bytes give the media type."""
    media_type = next((media_type for start, media_type in MEDIA_TYPES if picture.startswith(start)), None)
    if media_type is None:
        raise ValueError("a picture for the endpoint is PNG, JPEG or WebP")
    return f"data:{media_type};base64,{base64.b64encode(picture).decode()}"
