"""Load settings from a preset (see presets.py) and a command line; a mistake gets an error of one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from p2i_ray.config import presets, renamed, value_text
from p2i_ray.config.base import Effect, Settings
from p2i_ray.config.job import Config
from p2i_ray.config.presets import PRESETS as PRESETS
from p2i_ray.errors import HURT, UserError, one_line

# A preset may contain these even if a job has no such key; the command line may not.
JOB_KEYS = ("run_dir", "data", "serve", "plan", "ingest", "comparison", "baseline")

AnyConfig = TypeVar("AnyConfig", bound=Config)
AnySettings = TypeVar("AnySettings", bound=Settings)


def load(config_class: type[AnyConfig], source: str, overrides: Sequence[str] = ()) -> AnyConfig:
    """Read a preset or file and override it with `dotted.key=value` settings.

    Args:
        config_class: `Config` or a job's subclass.
        source: a preset's name (a file of p2i_ray/presets) or the path of a YAML file.
        overrides: `key=value` or `group.key=value`; values are YAML, those of text settings the text as it stands.

    Raises:
        UserError: the preset, the file or a key isn't there, presets extend each other in a circle, or a value doesn't
            fit; the line names the nearest key.
    """
    read = presets.read(source)
    values = presets.merged(read)
    values = {k: v for k, v in values.items() if k in config_class.model_fields or k not in JOB_KEYS}
    for setting in overrides:
        _override(values, setting, config_class)
    values = _without_file_scheme(values)
    try:
        config = config_class.model_validate(values)
    except ValidationError as error:
        raise UserError(_one_line(error, config_class, read)) from None
    config.remember_source(source)
    return config


def load_alone(settings_class: type[AnySettings], given: Sequence[str]) -> AnySettings:
    """The settings of a job that needs no preset, from `key=value` alone.

    Raises:
        UserError: a key is unknown or missing, or a value doesn't fit.
    """
    values: dict[str, Any] = {}
    for setting in given:
        _override(values, setting, settings_class)
    try:
        return settings_class.model_validate(_without_file_scheme(values))
    except ValidationError as error:
        raise UserError(_one_line(error, settings_class, [])) from None


def describe(config_class: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield every setting as (dotted key, default, description), depth first."""
    for key, info in config_class.model_fields.items():
        group = _group(info)
        if group:
            yield from describe(group, f"{prefix}{key}.")
        else:
            default = (
                "required" if info.is_required() else yaml.safe_dump(_plain(info.default), default_flow_style=True)
            )
            yield f"{prefix}{key}", default.split("\n")[0], info.description or ""


class ChangedSetting(NamedTuple):
    """A setting with another value than a saved configuration has."""

    key: str  # dotted
    old: Any  # JSON values
    new: Any
    effect: Effect  # of changing it; a setting without a mark counts as RESULT

    def __str__(self) -> str:
        return f"{self.key}: {self.old!r} -> {self.new!r}"


def given_settings(config: Config) -> dict[str, Any]:
    """The settings, nested, in which a loaded configuration differs from its preset: those of the command line.

    Those that only a job has are left out. Values are JSON's.
    """
    below = _without_file_scheme(presets.merged(presets.read(config.source_of_settings)))
    base = {**dict(defaults(Config)), **dict(flat(below))}
    own = dict(flat(config.model_dump(mode="json")))
    return _nested({key: own[key] for key, _ in defaults(Config) if own[key] != base.get(key)})


def changed_settings(old: Mapping[str, Any], new: BaseModel) -> list[ChangedSetting]:
    """The settings that differ from a saved configuration, sorted by key.

    Args:
        old: as it was saved, with today's names; see `read_dump`. What it lacks, because an older version saved it,
            counts as its default; what no longer exists has no effect and is left out.
        new: the configuration that is to continue the old one's run.
    """
    before, after = dict(flat(old)), dict(flat(new.model_dump(mode="json")))
    effect, default = dict(effects(type(new))), dict(defaults(type(new)))
    pairs = {key: (before.get(key, default.get(key)), value) for key, value in sorted(after.items())}
    return [
        ChangedSetting(key, one, other, effect.get(key) or Effect.RESULT)
        for key, (one, other) in pairs.items()
        if one != other
    ]


def defaults(config_class: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting's dotted key and its default as a JSON value; none where a value must be given."""
    for key, info in config_class.model_fields.items():
        if group := _group(info):
            yield from defaults(group, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", None if info.is_required() else _plain(info.default)


def dump(config: BaseModel) -> str:
    """A configuration as YAML, from which `read_dump` can tell whether it is whole."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, explicit_start=True, explicit_end=True)


def read_dump(text: str, source: str = "config.yaml") -> dict[str, Any]:
    """Read a dumped configuration (a run's config.yaml) with today's names, whichever version wrote it.

    Args:
        text: the dump.
        source: its location, for the error.

    Raises:
        UserError: it is no dump, maybe half of one.
    """
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{source} is not YAML: {one_line(error)}; {HURT}") from None
    cut = text.startswith("---") and not text.rstrip().endswith("...")  # versions before this one wrote neither
    if cut or not isinstance(values, dict) or not isinstance(values.get("idr"), dict):
        raise UserError(f"{source} holds no whole settings; {HURT}")
    return _nested(renamed.brought_up_to_date(dict(flat(values))))


def with_defaults(saved: Mapping[str, Any], config_class: type[BaseModel] = Config) -> dict[str, Any]:
    """A dump as today's version would have saved it: settings that it lacks have their defaults, gone ones are out.

    Args:
        saved: from `read_dump`.
        config_class: of the settings; keys of its top that it doesn't know are a job's own, and stay.
    """
    known, given = dict(defaults(config_class)), dict(flat(saved))
    kept = {key: value for key, value in given.items() if key in known or "." not in key}
    return _nested({**known, **kept})


def _nested(flat_values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in flat_values.items():
        *groups, last = key.split(".")
        values = found
        for group in groups:
            values = values.setdefault(group, {})
        values[last] = value
    return found


def effects(config_class: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Effect | None]]:
    """Every setting's dotted key and its mark (none: it has none)."""
    for key, info in config_class.model_fields.items():
        if group := _group(info):
            yield from effects(group, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", next((mark for mark in info.metadata if isinstance(mark, Effect)), None)


def _override(values: dict[str, Any], setting: str, config_class: type[BaseModel]) -> None:
    key, equals, text = setting.partition("=")
    known = [k for k, _, _ in describe(config_class)]
    if not equals:
        raise UserError(f"setting {setting!r} has no value; write key=value{_nearest(key, known)}")
    if key not in known:
        new = renamed.name(key)
        raise UserError(
            f"setting {key!r} is now called {new!r}"
            if new in known
            else f"unknown setting {key!r}{_nearest(key, known)}; --help lists them all"
        )
    value = value_text.parse(text, _field(config_class, key).annotation)
    *groups, last = key.split(".")
    for group in groups:
        values = values.setdefault(group, {})
    values[last] = value


def _without_file_scheme(value: Any) -> Any:
    """Settings with the paths that file:// URIs name in their place."""
    if isinstance(value, dict):
        return {key: _without_file_scheme(one) for key, one in value.items()}
    if isinstance(value, str) and value.startswith("file://"):
        return unquote(urlsplit(value, allow_fragments=False).path)
    return value


def _one_line(error: ValidationError, config_class: type[BaseModel], read: list[presets.Preset]) -> str:
    # A key that isn't known comes first: it may be the missing one under a wrong name.
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    source = presets.home(read, key) if read else "the command line"
    if first["type"] == "extra_forbidden" and (new := renamed.name(key)):
        return f"setting {key!r} in {source!r} is now called {new!r}"
    if first["type"] == "extra_forbidden":
        return f"unknown setting {key!r} in {source!r}{_nearest(key, [k for k, _, _ in describe(config_class)])}"
    if first["type"] == "missing":
        return f"setting {key!r} is missing; give it as {key}=VALUE"
    if first["type"] == "value_error" and isinstance(first.get("input"), dict):
        return str(first["msg"]).removeprefix("Value error, ")  # settings that don't fit together; the line names them
    return f"setting {key}={value_text.explain(first)}"


def _nearest(word: str, known: Sequence[str]) -> str:
    by_last = {k.rsplit(".", 1)[-1]: k for k in known}
    close = difflib.get_close_matches(word, known, 1, 0.6) or [
        by_last[m] for m in difflib.get_close_matches(word.rsplit(".", 1)[-1], list(by_last), 1, 0.6)
    ]
    return f"; did you mean {close[0]!r}?" if close else ""


def _field(config_class: type[BaseModel], key: str) -> FieldInfo:
    first, _, rest = key.partition(".")
    info = config_class.model_fields[first]
    group = _group(info)
    return _field(group, rest) if group else info


def _group(info: FieldInfo) -> type[BaseModel] | None:
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings as dotted keys and values."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
