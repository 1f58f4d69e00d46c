"""The prompts p_R (score), p_F (critique) and p_S (summary), and the chat messages made from them.

The paper never published its prompts; these are our own. They are YAML files in a folder, each with a version, and a
setting can replace the folder. What all samples of a step share (rubric, feedback, exemplars) comes before the sample,
so that an engine with prefix caching computes it once.
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
MAX_CHARS = 20_000  # characters of a file, about 5000 tokens, which come before every sample
# The placeholders that each text of each file must have; a text that isn't listed here is not used and so not allowed.
PLACEHOLDERS: dict[str, dict[str, set[str]]] = {
    "score": {
        "system": {"feedback"},
        "feedback": {"text"},
        "user": {"name"},
        "reasoned": {"name"},
        "cutout": set(),
    },
    "critique": {"system": set(), "user": {"name"}, "cutout": set()},
    "summary": {"system": set(), "user": {"tally"}},
}
OPTIONAL_PLACEHOLDERS = {
    ("summary", "user"): {"critiques"},
    ("score", "feedback"): {"cap"},
    ("critique", "system"): {"flaws"},
    ("attractiveness", "system"): {"feedback"},
    ("attractiveness", "user"): {"name"},
    ("attractiveness", "feedback"): {"text", "cap"},
    ("attractiveness", "reasoned"): {"name"},
}
# A file by itself, in no folder of prompts: whether a photo is attractive. Any score.yaml can stand in for it.
ATTRACTIVENESS = "attractiveness"
SUITABILITY = "suitability"  # another: whether a background suits its product, yes or no
COMPARISON = "comparison"  # another: which of two pictures is better
ALONE: dict[str, dict[str, set[str]]] = {
    ATTRACTIVENESS: {key: set() for key in PLACEHOLDERS["score"]},
    SUITABILITY: {"system": set(), "user": {"name"}, "cutout": set()},
    COMPARISON: {"system": set(), "user": {"name"}},
}
TEXTS = ("system", "user", "feedback", "reasoned", "cutout")


class Prompt(BaseModel):
    """One prompt file; the functions below substitute its `$name`-style placeholders."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    system: str  # rubric; `$feedback` is replaced by the feedback paragraph, `$flaws` by the list of flaws
    user: str  # text beside every sample's picture
    feedback: str = ""  # the feedback paragraph; `$text` is the feedback, `$cap` a score; omitted in the first round
    reasoned: str = ""  # replaces `user` when the judge writes its reason first
    cutout: str = ""  # before `user` when the cutout is shown: says which picture is which


class Prompts(BaseModel):
    """p_R, p_F and p_S."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    score: Prompt
    critique: Prompt
    summary: Prompt


class Exemplar(BaseModel):
    """One member of c_R: a picture with its score, shown before the sample."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    image_part: dict[str, Any]  # a content part, as in `score_messages`
    score: int
    reason: str = ""


def load_prompts(folder: str | Path | None = None, reasoned: bool = False, cutouts: bool = False) -> Prompts:
    """Read score.yaml, critique.yaml and summary.yaml.

    Args:
        folder: folder of the files; none: the built-in prompts.
        reasoned: reasons will be requested, so score.yaml must have the text for that.
        cutouts: cutouts will be shown, so score.yaml and critique.yaml must have the text for that.

    Raises:
        UserError: a file is missing, empty, too long, not UTF-8 or not YAML, has an unknown key or lacks one, or a text
            lacks a required `$placeholder` or has an unknown one.
    """
    root = Path(folder) if folder else BUILT_IN
    needed = {"reasoned": reasoned, "cutout": cutouts}
    files = f"a prompt folder holds {', '.join(f'{name}.yaml' for name in PLACEHOLDERS)}"
    return Prompts(**{name: _read(root / f"{name}.yaml", name, needed, files) for name in PLACEHOLDERS})


def load_attractiveness(file: str | Path | None = None, reasoned: bool = False, cutouts: bool = False) -> Prompt:
    """Read the prompt that asks how attractive a photo is, for a score from 1 to 5.

    Args:
        file: its location; none: the built-in one. It has the keys of score.yaml, and needs no `$placeholder`.
        reasoned: as in `load_prompts`.
        cutouts: as there.

    Raises:
        UserError: as there.
    """
    path = Path(file) if file else BUILT_IN / f"{ATTRACTIVENESS}.yaml"
    needed = {"reasoned": reasoned, "cutout": cutouts, "feedback": False}
    return _read(path, ATTRACTIVENESS, needed, "name a YAML file with version, system and user")


def load_suitability(cutouts: bool = False) -> Prompt:
    """Read the built-in prompt that asks whether a background suits its product, for yes or no.

    Args:
        cutouts: as in `load_prompts`.

    Raises:
        UserError: as there.
    """
    return _read(BUILT_IN / f"{SUITABILITY}.yaml", SUITABILITY, {"cutout": cutouts}, "it is part of p2i_ray")


def load_comparison() -> Prompt:
    """Read the built-in prompt that asks which of two pictures of a product is better, for first or second.

    Raises:
        UserError: as in `load_prompts`.
    """
    return _read(BUILT_IN / f"{COMPARISON}.yaml", COMPARISON, {}, "it is part of p2i_ray")


def _read(path: Path, name: str, needed: Mapping[str, bool], advice: str) -> Prompt:
    """One file, checked; `advice` is for a file that isn't there."""
    values = _values(path, advice)
    known = (PLACEHOLDERS | ALONE)[name]
    if "version" not in values:
        raise UserError(f'prompt file {path} has no version; add version: "1", and another one with every change')
    try:
        prompt = Prompt.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise UserError(f"prompt file {path}: unknown key {key}; it has {', '.join(Prompt.model_fields)}") from None
        raise UserError(f"prompt file {path}: {key}: {first['msg']}; write it in quotes or after a |") from None
    if not prompt.version.strip():
        raise UserError(f'prompt file {path}: version is empty; write version: "1"')
    for key in TEXTS:
        text, where = getattr(prompt, key), f"prompt file {path}: {key}"
        if key in known:
            optional = OPTIONAL_PLACEHOLDERS.get((name, key), set())
            may_be_empty = not needed.get(key, True)
            _check_text(text, where, known[key], optional, may_be_empty=may_be_empty)
        elif text.strip():
            raise UserError(f"{where} is not used in {name}.yaml; leave it out")
    return prompt


def _values(path: Path, advice: str) -> dict[str, Any]:
    """The file's keys and values, unchecked; `advice` is for a file that isn't there."""
    try:
        if path.stat().st_size > 4 * MAX_CHARS:  # a character has 4 bytes at most, so it needn't be read
            raise UserError(f"prompt file {path} is too long: more than {MAX_CHARS} characters; shorten it")
        text = path.read_text("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"prompt file {path} is not there; {advice}") from None
    except OSError as error:
        raise UserError(f"prompt file {path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"prompt file {path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    if len(text) > MAX_CHARS:
        raise UserError(f"prompt file {path} is too long: {len(text)} characters, more than {MAX_CHARS}; shorten it")
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: an impossible date, for example
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(
            f"prompt file {path} is not YAML{f', line {mark.line + 1}' if mark else ''}: {reason}"
        ) from None
    if values is None:
        raise UserError(f"prompt file {path} is empty; write version, system and user, or leave its setting out")
    if not isinstance(values, dict):
        raise UserError(f"prompt file {path} holds no keys; write version: …, system: … and user: …")
    return values


def _check_text(text: str, where: str, required: set[str], optional: set[str], *, may_be_empty: bool) -> None:
    """Check that a text has its required placeholders and no unknown ones."""
    if not text.strip():
        if may_be_empty:
            return
        raise UserError(f"{where} is empty or missing; write it{_placeholders(' with', required)}")
    template = Template(text)
    if not template.is_valid():
        raise UserError(f"{where} has a $ without a name; write $$ for a dollar sign")
    found = set(template.get_identifiers())
    known = required | optional
    if unknown := sorted(found - known):
        raise UserError(
            f"{where} has ${unknown[0]}, which has no value; it may have{_placeholders('', known) or ' none'}"
        )
    if missing := required - found:
        raise UserError(f"{where} lacks{_placeholders('', missing)}; put it where its value belongs")


def _placeholders(before: str, names: set[str]) -> str:
    return f"{before} {', '.join(f'${name}' for name in sorted(names))}" if names else ""


def score_messages(
    prompt: Prompt,
    name: str,
    image_part: Mapping[str, Any],
    *,
    cutout: Mapping[str, Any] | None = None,
    feedback: str = "",
    cap: int = 3,
    exemplars: Sequence[Exemplar] = (),
    reasoned: bool = False,
) -> list[Message]:
    """The chat of R(x, p_R, c_R, f), whose reply is the sample's score (Eq. 6 and, with feedback, Eq. 8).

    Args:
        prompt: p_R.
        name: the product's name P.
        image_part: the picture I as a content part, e.g. {"type": "image", "image": encoded bytes}, or OpenAI's
            {"type": "image_url", "image_url": {"url": …}}.
        cutout: the product's cutout C as a content part; none: not shown.
        feedback: f of the previous round; empty in the first.
        cap: highest score of a picture that shows what the feedback names.
        exemplars: c_R; their cutouts are not shown.
        reasoned: request a reason before the score.
    """
    template = prompt.reasoned if reasoned else prompt.user
    paragraph = Template(prompt.feedback).safe_substitute(text=feedback.strip(), cap=cap) if feedback.strip() else ""
    messages = [_system(prompt, feedback=paragraph)]
    for shown in exemplars:
        reason = json.dumps(shown.reason, ensure_ascii=False)
        answer = f'{{"reason":{reason},"score":{shown.score}}}' if reasoned else str(shown.score)
        messages += [
            _user(template, shown.image_part, name=shown.name),
            {"role": "assistant", "content": [_text(answer)]},
        ]
    return [*messages, _sample(prompt, template, name=name, image_part=image_part, cutout=cutout)]


def critique_messages(
    prompt: Prompt,
    name: str,
    image_part: Mapping[str, Any],
    *,
    cutout: Mapping[str, Any] | None = None,
    flaws: str = "",
) -> list[Message]:
    """The chat of F(x_dev, I_dev, p_F) in Eq. 7, whose reply names one generated picture's flaws.

    Args:
        prompt: p_F.
        name: the product's name P.
        image_part: the picture I_dev, as in `score_messages`.
        cutout: the product's cutout, as there.
        flaws: the list to choose from, one flaw a line.
    """
    sample = _sample(prompt, prompt.user, name=name, image_part=image_part, cutout=cutout)
    return [_system(prompt, flaws=flaws), sample]


def suitability_messages(
    prompt: Prompt, name: str, image_part: Mapping[str, Any], *, cutout: Mapping[str, Any] | None = None
) -> list[Message]:
    """The chat whose reply is yes or no: whether the background suits the product.

    Args:
        prompt: from `load_suitability`.
        name: the product's name P.
        image_part: the picture, as in `score_messages`.
        cutout: the product's cutout, as there.
    """
    return [_system(prompt), _sample(prompt, prompt.user, name=name, image_part=image_part, cutout=cutout)]


def comparison_messages(
    prompt: Prompt, name: str, first: Mapping[str, Any], second: Mapping[str, Any]
) -> list[Message]:
    """The chat whose reply is first or second: which of two pictures of one product is better.

    Args:
        prompt: from `load_comparison`.
        name: the product's name P.
        first: a picture, as in `score_messages`.
        second: another.
    """
    asked = _user(prompt.user, second, name=name)
    return [_system(prompt), {"role": "user", "content": [dict(first), *asked["content"]]}]


def rest_messages(messages: list[Message], said: str) -> list[Message]:
    """A chat whose reply was cut, going on: what the judge said so far, and the last question without its pictures."""
    question = [part for part in messages[-1]["content"] if part["type"] == "text"]
    return [
        *messages,
        {"role": "assistant", "content": [_text(said)]},
        {"role": "user", "content": question[-1:]},
    ]


def summary_messages(prompt: Prompt, tally: str, critiques: str) -> list[Message]:
    """The chat of SUM(·, p_S) in Eq. 7, whose reply is the feedback text f.

    Args:
        prompt: p_S.
        tally: one line per flaw, most frequent first: "wrong scene: 64 %" (of the criticised pictures).
        critiques: comments of some critiques, one per line.
    """
    return [_system(prompt), _user(prompt.user, None, tally=tally, critiques=critiques)]


def _system(prompt: Prompt, **values: str) -> Message:
    return {"role": "system", "content": [_text(Template(prompt.system).safe_substitute(values))]}


def _sample(
    prompt: Prompt, template: str, *, name: str, image_part: Mapping[str, Any], cutout: Mapping[str, Any] | None
) -> Message:
    """The message about one sample: its cutout if that is shown, its picture, the question."""
    asked = _user(template, image_part, name=name)
    if cutout is None:
        return asked
    picture, question = asked["content"]
    return {"role": "user", "content": [dict(cutout), picture, _text(f"{prompt.cutout.strip()}\n{question['text']}")]}


def _user(template: str, image_part: Mapping[str, Any] | None, **values: str) -> Message:
    picture = [dict(image_part)] if image_part is not None else []
    return {"role": "user", "content": [*picture, _text(Template(template).safe_substitute(values))]}


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text.strip()}
