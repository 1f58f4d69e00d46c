"""Check of a model's chat template before its weights are loaded: a judge must be askable, and answer at once."""

from __future__ import annotations

import re
from typing import Any

from p2i_ray.errors import UserError
from p2i_ray.judge.engines.vllm import processor as processing

# Tags that begin a model's thinking, where a prompt ends with one.
OPEN = re.compile(r"(<think>|<thinking>|<\|think\|>|<seed:think>|◁think▷|\[THINK\])\s*$")
PART = {"type": "text", "text": "Which score does this picture get?"}
CHAT: list[dict[str, Any]] = [
    {"role": "system", "content": [PART]},
    {"role": "user", "content": [{"type": "image"}, PART]},
    {"role": "assistant", "content": [PART]},
    {"role": "user", "content": [{"type": "image"}, PART]},
]


def check(model: str, processor: Any = None) -> None:
    """Render a chat as the judge's are, and look at how the answer is to begin.

    Args:
        model: a folder, or an id on the hub.
        processor: the model's (none: it is loaded).

    Raises:
        UserError: the template is broken or refuses such chats, or it makes the model think before it answers: under
            the constraint on replies the first tokens of its thinking would be taken for the score.
    """
    try:
        processor = processor or processing.load(model)
    except processing.CountError:
        return  # vLLM may know it all the same; if not, its own error says why
    template, tokens = processing.template_of(processor)
    if template is None:
        return  # vLLM has templates of its own for some models
    try:
        prompt = _render(template, tokens)
    except Exception as error:  # a template is a program: it may fail in any way
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(
            f"judge.model={model}: its chat template can't be used ({why}); it must take system messages and "
            "pictures: repair chat_template.jinja (or chat_template in the JSON files), or copy the model's folder anew"
        ) from None
    if found := OPEN.search(prompt):
        raise UserError(
            f"judge.model={model}: its chat template begins every answer with {found[1]}: it is a thinking variant, "
            "but the judge must answer at once; take the model's Instruct variant"
        )


def _render(template: str, tokens: dict[str, Any]) -> str:
    plain = [{"role": turn["role"], "content": PART["text"]} for turn in CHAT]
    failed: Exception | None = None
    for chat in (CHAT, plain):  # some templates join a message's content to text; for these vLLM joins the parts
        try:
            return processing.render(template, tokens, chat)
        except Exception as error:  # as above; what the judge's own kind of chat met says the most
            failed = failed or error
    assert failed
    raise failed
