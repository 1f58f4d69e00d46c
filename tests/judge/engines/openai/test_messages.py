"""A request in OpenAI's form; tests/judge/engines/openai/test_client.py sends it."""

from __future__ import annotations

import pytest

from p2i_ray.config.hosted import HostedConfig
from p2i_ray.judge.engines.openai.messages import body, data_url
from p2i_ray.judge.requests.constraints import CHOICES, FIRST_OR_SECOND
from p2i_ray.judge.requests.tasks import ChatRequest


def test_pictures_are_named_by_their_bytes() -> None:
    assert data_url(b"RIFF....WEBP").startswith("data:image/webp;base64,")
    with pytest.raises(ValueError, match="PNG, JPEG or WebP"):
        data_url(b"GIF89a")


@pytest.mark.parametrize("choices", [CHOICES, FIRST_OR_SECOND])
def test_a_choice_has_room_for_a_space_before_it(choices: tuple[str, ...]) -> None:
    """Which is a token of its own where a tokenizer is SentencePiece's."""
    asked = body(ChatRequest([], 1, choice=choices), HostedConfig(constraint="vllm"))
    assert asked["max_tokens"] == 2
    assert set(asked["extra_body"]["structured_outputs"]["choice"]) == {*choices, *(f" {one}" for one in choices)}
    assert body(ChatRequest([], 30), HostedConfig())["max_tokens"] == 30
