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
LONGEST = 20_000  # characters of a file, some 5000 tokens: it is read before every sample
# The places that each text of each file must have; a text that isn't listed is not used, so it may not be there.
PLACES: dict[str, dict[str, set[str]]] = {
    "score": {"system": {"feedback"}, "feedback": {"text"}, "user": {"name"}, "reasoned": {"name"}},
    "critique": {"system": set(), "user": {"name"}},
    "summary": {"system": set(), "user": {"tally"}},
}
MORE_PLACES = {("summary", "user"): {"critiques"}}  # that it may have


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


def load_prompts(folder: str | Path | None = None, reasoned: bool = False) -> Prompts:
    """Read score.yaml, critique.yaml and summary.yaml.

    Args:
        folder: that has them; none: the built-in prompts.
        reasoned: the judge will be asked for reasons, so score.yaml must say how.

    Raises:
        UserError: a file is missing, empty, too long, not UTF-8 or not YAML, has a key that is unknown or lacking, or
            a text lacks a `$place` that it needs or has one that nobody fills in.
    """
    root = Path(folder) if folder else BUILT_IN
    return Prompts(**{name: _read(root / f"{name}.yaml", name, reasoned) for name in PLACES})


def _read(path: Path, name: str, reasoned: bool) -> Prompt:
    values = _values(path)
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
    for key in ("system", "user", "feedback", "reasoned"):
        may_lack = key == "reasoned" and not reasoned
        _check_text(getattr(prompt, key), f"prompt file {path}: {key}", name, key, may_lack)
    return prompt


def _values(path: Path) -> dict[str, Any]:
    """The file's keys and values, not checked yet."""
    try:
        if path.stat().st_size > 4 * LONGEST:  # a character has 4 bytes at most: no need to read it
            raise UserError(f"prompt file {path} is too long: more than {LONGEST} characters; shorten it")
        text = path.read_text("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        files = ", ".join(f"{name}.yaml" for name in PLACES)
        raise UserError(f"prompt file {path} is not there; a prompt folder holds {files}") from None
    except OSError as error:
        raise UserError(f"prompt file {path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"prompt file {path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    if len(text) > LONGEST:
        raise UserError(f"prompt file {path} is too long: {len(text)} characters, more than {LONGEST}; shorten it")
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a date that is none, and the like
        mark = getattr(error, "problem_mark", None)
        why = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"prompt file {path} is not YAML{f', line {mark.line + 1}' if mark else ''}: {why}") from None
    if values is None:
        raise UserError(f"prompt file {path} is empty; write version, system and user, or leave out judge.prompts")
    if not isinstance(values, dict):
        raise UserError(f"prompt file {path} holds no keys; write version: …, system: … and user: …")
    return values


def _check_text(text: str, where: str, name: str, key: str, may_lack: bool) -> None:
    """One text of one file has the places that it must have and no others."""
    if key not in PLACES[name]:
        if text.strip():
            raise UserError(f"{where} is not used in {name}.yaml; leave it out")
        return
    needed = PLACES[name][key]
    if not text.strip():
        if may_lack:
            return
        raise UserError(f"{where} is empty or missing; write it{_places(' with', needed)}")
    template = Template(text)
    if not template.is_valid():
        raise UserError(f"{where} has a $ that starts no name; write $$ for a dollar sign")
    found = set(template.get_identifiers())
    known = needed | MORE_PLACES.get((name, key), set())
    if unknown := sorted(found - known):
        raise UserError(f"{where} has ${unknown[0]}, which nobody fills in; it may have{_places('', known) or ' none'}")
    if lacking := needed - found:
        raise UserError(f"{where} lacks{_places('', lacking)}; put it where that belongs")


def _places(before: str, names: set[str]) -> str:
    return f"{before} {', '.join(f'${name}' for name in sorted(names))}" if names else ""


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
