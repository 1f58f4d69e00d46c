"""The prompts p_R (score), p_F (critique) and p_S (summary), and the chat messages made from them.

The paper never published its prompts; ours are our own. They are plain YAML files in a folder, each with a
version, so that a setting can replace them. Whatever is the same for all samples of a step (rubric, feedback,
exemplars) stands before the sample, so that an engine with prefix caching computes it once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from p2i_ray.errors import UserError

Message = dict[str, Any]
BUILT_IN = Path(__file__).parent / "prompts"


class Prompt(BaseModel):
    """One prompt file: `$name`-style places are filled in by the functions below."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    system: str  # rubric; `$feedback` is where the feedback paragraph goes
    user: str  # asked of every sample
    feedback: str = ""  # the feedback paragraph; `$text` is the feedback; left out in the first round
    reasoned: str = ""  # asked instead of `user` when the judge writes its reason first


class Prompts(BaseModel):
    """p_R, p_F and p_S."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    score: Prompt
    critique: Prompt
    summary: Prompt


class Exemplar(BaseModel):
    """One member of c_R: a picture that was already judged, shown before the sample."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    image_part: dict[str, Any]  # a content part, as in `score_messages`
    score: int
    reason: str = ""


def load_prompts(folder: str | Path | None = None) -> Prompts:
    """Read score.yaml, critique.yaml and summary.yaml.

    Raises:
        UserError: a file is missing, empty, not YAML, or has a key that is unknown or lacking.
    """
    root = Path(folder) if folder else BUILT_IN
    return Prompts(**{name: _read(root / f"{name}.yaml") for name in ("score", "critique", "summary")})


def _read(path: Path) -> Prompt:
    try:
        return Prompt.model_validate(yaml.safe_load(path.read_text("utf-8")) or {})
    except FileNotFoundError:
        raise UserError(
            f"prompt file {path} is not there; a prompt folder holds score.yaml, critique.yaml and summary.yaml"
        ) from None
    except yaml.YAMLError as error:
        raise UserError(f"prompt file {path} is not YAML: {str(error).splitlines()[0]}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"prompt file {path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def score_messages(
    prompt: Prompt,
    name: str,
    image_part: Mapping[str, Any],
    feedback: str = "",
    exemplars: Sequence[Exemplar] = (),
    reasoned: bool = False,
) -> list[Message]:
    """R(x, p_R, c_R, f): the chat whose answer is the sample's score (Eq. 6 and, with feedback, Eq. 8).

    Args:
        prompt: p_R.
        name: the product's name P.
        image_part: the picture I as a content part, e.g. {"type": "image", "image": encoded bytes}, or OpenAI's
            {"type": "image_url", "image_url": {"url": …}}.
        feedback: f of the previous round; empty in the first.
        exemplars: c_R.
        reasoned: ask for a reason before the score.
    """
    question = prompt.reasoned if reasoned else prompt.user
    messages = [_system(prompt, feedback)]
    for shown in exemplars:
        reason = json.dumps(shown.reason, ensure_ascii=False)
        answer = f'{{"reason":{reason},"score":{shown.score}}}' if reasoned else str(shown.score)
        messages += [
            _user(question, shown.image_part, name=shown.name),
            {"role": "assistant", "content": [_text(answer)]},
        ]
    return [*messages, _user(question, image_part, name=name)]


def critique_messages(prompt: Prompt, name: str, image_part: Mapping[str, Any]) -> list[Message]:
    """F(x_dev, I_dev, p_F) of Eq. 7: the chat whose answer names one generated picture's flaws."""
    return [_system(prompt), _user(prompt.user, image_part, name=name)]


def summary_messages(prompt: Prompt, tally: str, critiques: str) -> list[Message]:
    """SUM(·, p_S) of Eq. 7: the chat whose answer is the feedback text f.

    Args:
        prompt: p_S.
        tally: one line a flaw, most frequent first: "wrong scene: 64 %" (of the criticised pictures).
        critiques: some of the critiques' own words, a line each.
    """
    return [_system(prompt), _user(prompt.user, None, tally=tally, critiques=critiques)]


def _system(prompt: Prompt, feedback: str = "") -> Message:
    paragraph = Template(prompt.feedback).substitute(text=feedback.strip()) if feedback.strip() else ""
    return {"role": "system", "content": [_text(Template(prompt.system).safe_substitute(feedback=paragraph))]}


def _user(question: str, image_part: Mapping[str, Any] | None, **places: str) -> Message:
    picture = [dict(image_part)] if image_part is not None else []
    return {"role": "user", "content": [*picture, _text(Template(question).safe_substitute(places))]}


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text.strip()}
