"""The file of evaluate.scenes: which scenes a background may show, and which of them suit a category of products.

scenes:
  beach: a photo of a beach
  kitchen: [a kitchen, a photo of a kitchen]  # several texts: their mean
  plain: a plain wall                         # suits no category
suits:
  sunscreen: [beach]
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictStr, StringConstraints, ValidationError

from p2i_ray.errors import UserError, one_line
from p2i_ray.storage import locations

SHOWN, SHOWN_CHARS = 3, 40  # categories, and characters of a wrong value, in an error


def _several(value: Any) -> Any:
    """A text by itself as a list of one."""
    return [value] if isinstance(value, str) else value


Text = Annotated[StrictStr, StringConstraints(strip_whitespace=True, min_length=1)]
Texts = Annotated[list[Text], BeforeValidator(_several), Field(min_length=1)]


class Scenes(BaseModel):
    """Scenes by name with their texts, and the names of those that suit each category."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scenes: Annotated[dict[Text, Texts], Field(min_length=2)]
    suits: Annotated[dict[StrictStr, Texts], Field(min_length=1)]


def read(location: str) -> Scenes:
    """Read the file.

    Args:
        location: a path or URI.

    Raises:
        UserError: it is not there, is no such file, or names an unknown scene; the line says which.
    """
    where = f"evaluate.scenes={location}"
    if locations.kind(location) != "file":
        raise UserError(f"{where} is not there, or is no file; check the path")
    try:
        node = yaml.compose(text := locations.read_text(location), Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{where} is not YAML{line}: {getattr(error, 'problem', None) or one_line(error)}") from None
    if not isinstance(values, dict):
        raise UserError(f"{where} has no keys; write scenes: {{NAME: text}} and suits: {{CATEGORY: [NAME]}}")
    if twice := _repeated(node):
        raise UserError(f"{where} has {twice!r} twice; leave one")
    try:
        found = Scenes.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if part != "[key]")
        given = "" if first["type"] == "missing" else f", not {str(first['input'])[:SHOWN_CHARS]!r}"
        raise UserError(
            f"{where}: {key}: {first['msg']}{given}; names and texts are texts: put quotes around"
        ) from None
    for category, names in found.suits.items():
        if unknown := [name for name in names if name not in found.scenes]:
            raise UserError(
                f"{where}: {category!r} has the unknown scene {unknown[0]!r}; there are {', '.join(found.scenes)}"
            )
    return found


def check_categories(scenes: Scenes, location: str, categories: Iterable[str]) -> None:
    """Check that the file has all categories of the data.

    Raises:
        UserError: it lacks some.
    """
    if lacking := sorted(set(categories) - scenes.suits.keys()):
        more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
        named = ", ".join(repr(category) for category in lacking[:SHOWN])
        raise UserError(
            f"evaluate.scenes={location} has no entry in suits for the data's {named}{more}; add what suits"
        )


def _repeated(node: yaml.Node | None) -> str | None:
    """A key that a mapping has twice, of which YAML's readers take the last; at any depth."""
    if not isinstance(node, yaml.MappingNode):
        return None
    keys = [key.value for key, _ in node.value]
    again = next((key for key in keys if keys.count(key) > 1), None)
    return again or next((found for _, value in node.value if (found := _repeated(value))), None)
