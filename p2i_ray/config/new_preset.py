"""A preset for a user's own data: it extends the one that was used, and says what the command line said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from p2i_ray.config.job import Config
from p2i_ray.config.presets import EXTENDS, PRESETS
from p2i_ray.errors import UserError

_HEAD = """\
# Settings for runs on this data, as in `.venv/bin/python jobs/idr.py --config FILE`, where FILE is this file.
# They are laid over those of the preset that it extends; settings on the command line are laid over both.
"""
_TOY_JUDGE = """\
# The judge of the mini preset was trained on its toy world alone: what it says of real photos means nothing. For
# scores that count, extend gpu24gb or a100x4, or set judge.model to a Qwen2.5-VL, or judge.hosted.url to an endpoint.
"""


def check_free(location: str, same: str = "") -> None:
    """Check that a preset can be written there and read by --config.

    Args:
        location: of the new one.
        same: the text that may be there already.

    Raises:
        UserError: something else is there, or it is no local file, or --config would read one of the presets instead.
    """
    if "://" in location:
        raise UserError(f"preset {location} must be a local file: --config reads no others")
    if (PRESETS / f"{location}.yaml").is_file():
        raise UserError(
            f"preset {location!r} has the name of a preset of ours; name a file, such as {location}-mine.yaml"
        )
    path = Path(location).expanduser()
    if path.is_dir():
        raise UserError(f"preset {location} is a folder; name a file in it, such as {path / 'mine.yaml'}")
    if path.exists() and not (same and path.is_file() and path.read_bytes() == same.encode()):
        raise UserError(f"preset {location} is there already; name another file, or remove it")


def text(config: Config, location: str, data: str, given: Mapping[str, Any]) -> str:
    """A preset for runs on a data folder.

    Args:
        config: as loaded from the preset that the new one extends.
        location: of the new one; its runs are named after it.
        data: the EPBD folder.
        given: settings, nested, that differ from the preset's; see loading.given_settings.
    """
    source = config.source_of_settings
    base = source if (PRESETS / f"{source}.yaml").is_file() else str(Path(source).expanduser().resolve())
    values = {EXTENDS: base, "data": data, "run_dir": f"runs/{Path(location).stem}", **given}
    settings = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=False)
    return f"{_HEAD}{_TOY_JUDGE if has_toy_judge(config) else ''}{settings}"


def has_toy_judge(config: Config) -> bool:
    """Whether the judge is that of the mini preset, which was trained on its toy world alone."""
    own = Path(config.judge.model).resolve().is_relative_to((PRESETS.parent / "mini").resolve())
    return own and not config.judge.hosted.url
