"""Check of a model's chat template before its weights are loaded: a judge must be askable, and answer at once."""

from __future__ import annotations

import re
from typing import Any

from p2i_ray.errors import UserError
from p2i_ray.judge.engines.vllm import processor as processing

# Tags that begin a model's thinking, where a prompt ends with one.
OPEN = re.compile(r"(<think>|<thinking>|<\|think\|>|<seed:think>|◁think▷|\[THINK\])\s*$")
ROLES = ("system", "user", "assistant", "user")
TEXTS = ("Judge pictures.", "Which score does this picture get?", "The score is 4.", "And which does this one get?")
CHAT: list[dict[str, Any]] = [
    {"role": role, "content": [*([{"type": "image"}] if role == "user" else []), {"type": "text", "text": text}]}
    for role, text in zip(ROLES, TEXTS, strict=True)
]
PLAIN = [{"role": role, "content": text} for role, text in zip(ROLES, TEXTS, strict=True)]


def check(model: str, processor: Any = None) -> str | None:
    """Render a chat as the judge's are, and look at how the answer is to begin.

    Args:
        model: a folder, or an id on the hub.
        processor: the model's (none: it is loaded).

    Returns:
        The template that vLLM must be given: the processor's default one of several, which vLLM would take for one
        template. None: vLLM finds it by itself.

    Raises:
        UserError: the template is broken, refuses such chats or leaves messages out, or it makes the model think
            before it answers: under the constraint on replies the first tokens of its thinking would be taken for the
            score.
    """
    try:
        processor = processor or processing.load(model)
    except processing.CountError:
        return None  # vLLM may know it all the same; if not, its own error says why
    template, tokens = processing.template_of(processor)
    if template is None:
        return None  # vLLM has templates of its own for some models
    try:
        prompts = _render(template, tokens)
    except Exception as error:  # a template is a program: it may fail in any way
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(
            f"judge.model={model}: its chat template can't be used ({why}); it must take system messages and "
            "pictures: repair chat_template.jinja (or chat_template in the JSON files), or copy the model's folder anew"
        ) from None
    # What is not said in either way in which vLLM may give it: the model would judge without the rubric, for example.
    if unsaid := [role for role, text in zip(ROLES, TEXTS, strict=True) if not any(text in one for one in prompts)]:
        raise UserError(
            f"judge.model={model}: its chat template leaves {unsaid[0]} messages out; repair chat_template.jinja (or "
            "chat_template in the JSON files), or take another model"
        )
    if found := OPEN.search(prompts[0]):
        raise UserError(
            f"judge.model={model}: its chat template begins every answer with {found[1]}: it is a thinking variant, "
            "but the judge must answer at once; take the model's Instruct variant"
        )
    return template if processing.has_several(processor) else None


def default_of_several(model: str) -> str | None:
    """The template that vLLM must be given, as `check` returns it; none also where the processor can't be loaded."""
    try:
        processor = processing.load(model)
    except (processing.CountError, UserError):
        return None  # an engine's own error says why
    return processing.template_of(processor)[0] if processing.has_several(processor) else None


def _render(template: str, tokens: dict[str, Any]) -> list[str]:
    """The chat as the template renders it, the judge's own kind first; one of two at least."""
    prompts = list[str]()
    failed: Exception | None = None
    for chat in (CHAT, PLAIN):  # some templates join a message's content to text; for these vLLM joins the parts
        try:
            prompts.append(processing.render(template, tokens, chat))
        except Exception as error:  # as above; what the judge's own kind of chat met says the most
            failed = failed or error
    if not prompts:
        assert failed
        raise failed
    return prompts
