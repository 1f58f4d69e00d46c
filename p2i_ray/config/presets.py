"""Read presets: YAML files with the settings' keys, each of which may extend another one.

`extends: mini` takes the settings of that preset, over which the file's own are laid, group by group. A path is
relative to the file that names it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from p2i_ray.config import yaml_values
from p2i_ray.errors import UserError

PRESETS = Path(__file__).parents[1] / "presets"
EXTENDS = "extends"


class Preset(NamedTuple):
    """A preset, or file, and the settings in it alone."""

    source: str  # as it was named
    values: dict[str, Any]


def read(source: str) -> list[Preset]:
    """A preset and those that it extends, the nearest first.

    Args:
        source: a preset's name (a file of p2i_ray/presets) or the path of a YAML file.

    Raises:
        UserError: one of them isn't there, holds no settings, or extends itself.
    """
    found: list[Preset] = []
    paths: list[Path] = []
    path: Path | None = _path(source, Path(), "")
    while path is not None:
        if path in paths:
            circle = " -> ".join([*(preset.source for preset in found[paths.index(path) :]), source])
            raise UserError(f"config {source!r} extends itself: {circle}; take one `{EXTENDS}` out")
        values = _values(path, source)
        base = values.pop(EXTENDS, None)
        paths.append(path)
        found.append(Preset(source, values))
        if base is None:
            return found
        if not isinstance(base, str):
            raise UserError(f"config {source!r}: {EXTENDS} must name one preset or file, not {base!r}")
        path, source = _path(base, path.parent, f", which {source!r} extends,"), base
    return found


def merged(presets: list[Preset]) -> dict[str, Any]:
    """The settings of presets; those of the first win. Groups are laid over each other, anything else is replaced."""
    values: dict[str, Any] = {}
    for preset in reversed(presets):
        values = _laid_over(values, preset.values)
    return values


def home(presets: list[Preset], key: str) -> str:
    """The source of the preset that a setting is from: the first that has it; the first of all if none has."""
    for preset in presets:
        values: Any = preset.values
        for part in key.split("."):
            values = values.get(part, EXTENDS) if isinstance(values, Mapping) else EXTENDS
        if values is not EXTENDS:
            return preset.source
    return presets[0].source


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(below)
    for key, value in above.items():
        old = values.get(key)
        values[key] = _laid_over(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return values


def _path(source: str, folder: Path, named_by: str) -> Path:
    preset = PRESETS / f"{source}.yaml"
    if preset.is_file():
        return preset.resolve()
    path = folder / Path(source).expanduser()
    if path.is_file():
        return path.resolve()
    names = sorted(p.stem for p in PRESETS.glob("*.yaml"))
    near = difflib.get_close_matches(source, names, 1, 0.6)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UserError(f"config {source!r}{named_by} is neither a preset ({', '.join(names)}) nor a file{hint}")


def _values(path: Path, source: str) -> dict[str, Any]:
    try:
        values = yaml_values.load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"config {source!r} is not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise UserError(f"config {source!r} must hold settings (key: value), not {type(values).__name__}")
    return values
