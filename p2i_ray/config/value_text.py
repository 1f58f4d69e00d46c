"""One setting's value as text: read from the command line by the setting's type, and explained when it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml

from p2i_ray.config import yaml_values


def parse(text: str, kind: Any) -> Any:
    """The value that a text on the command line has for a setting of this type: YAML, or the text where text is due.

    YAML would cut a path at " #", and make a date, a number or a truth of others (`out=2026-11-28`, `dtype=no`).
    """
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if all(member in (str, type(None)) or _is_choice_of_texts(member) for member in members):
        if not text or (type(None) in members and text in ("~", "null")):
            return None  # an empty path would be the working directory: `run_dir=$UNSET`
        if not (len(text) > 1 and text[0] == text[-1] and text[0] in "'\""):  # quotes are YAML's
            return text
    try:
        return yaml_values.load(text)
    except yaml.YAMLError:
        return text


def _is_choice_of_texts(kind: Any) -> bool:
    return get_origin(kind) is Literal and all(isinstance(choice, str) for choice in get_args(kind))


def explain(error: Mapping[str, Any]) -> str:
    """The refused value, what pydantic says of it, and what to do where that doesn't tell."""
    shown = "" if error.get("input") is None else repr(error.get("input"))
    return f"{shown}: {_meaning(error)}"


def _meaning(error: Mapping[str, Any]) -> str:
    kind, value = error["type"], error.get("input")
    if value is None and kind in ("string_type", "literal_error"):
        return "it is empty; give a value"
    if kind == "tuple_type":
        if str(value).startswith("["):
            return "it is no list in YAML; put single quotes around each text in it, and double ones around the setting"
        return f"it is a list; write [{value}]"
    if kind in ("string_type", "literal_error") and isinstance(value, bool | int | float | date):
        return f"{error['msg']}; in a YAML file put quotes around the text"
    return str(error["msg"])
