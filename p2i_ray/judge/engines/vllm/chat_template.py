"""Check of a model's chat template before its weights are loaded: a judge must be askable, and answer at once."""

from __future__ import annotations

import re
from typing import Any

from p2i_ray.errors import UserError

# Kinds of thinking that templates can leave out; a template ignores what it doesn't know.
NO_THINKING = {"enable_thinking": False, "thinking": False}
# Tags that begin a model's thinking, where a prompt ends with one.
OPEN = re.compile(r"(<think>|<thinking>|<\|think\|>|<seed:think>|◁think▷|\[THINK\])\s*$")
PART = {"type": "text", "text": "Which score does this picture get?"}
CHAT: list[dict[str, Any]] = [
    {"role": "system", "content": [PART]},
    {"role": "user", "content": [{"type": "image"}, PART]},
    {"role": "assistant", "content": [PART]},
    {"role": "user", "content": [{"type": "image"}, PART]},
]


def check(model: str) -> None:
    """Render a chat as the judge's are, and look at how the answer is to begin.

    Raises:
        UserError: the template is broken or refuses such chats, or it makes the model think before it answers: under
            the constraint on replies the first tokens of its thinking would be taken for the score.
    """
    template, tokens = _template(model)
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
    from transformers.utils.chat_template_utils import render_jinja_template

    plain = [{"role": turn["role"], "content": PART["text"]} for turn in CHAT]
    failed: Exception | None = None
    for chat in (CHAT, plain):  # some templates join a message's content to text; for these vLLM joins the parts
        try:
            rendered: Any = render_jinja_template([chat], chat_template=template, add_generation_prompt=True, **tokens)
            prompts = rendered[0] if isinstance(rendered, tuple) else rendered
            return str(prompts[0])
        except Exception as error:  # as above; what the judge's own kind of chat met says the most
            failed = failed or error
    assert failed
    raise failed


def _template(model: str) -> tuple[str | None, dict[str, Any]]:
    """The model's template, and the special tokens and switches that it may use."""
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            model, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, ImportError):
        return None, {}  # vLLM may know it all the same; if not, its own error says why
    tokenizer = getattr(processor, "tokenizer", processor)
    template = getattr(processor, "chat_template", None) or getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        template = template.get("default")
    return template, {**getattr(tokenizer, "special_tokens_map", {}), **NO_THINKING}
