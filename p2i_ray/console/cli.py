"""The command line that all jobs share: `python jobs/NAME.py --config PRESET_OR_FILE [dotted.key=value …]`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

from p2i_ray.config import PRESETS, AnyConfig, Config, describe, load
from p2i_ray.config.environment import ENVIRONMENT
from p2i_ray.config.loading import AnySettings, load_alone
from p2i_ray.console import interrupts, logs
from p2i_ray.errors import WorkerDiedError, user_error_line
from p2i_ray.storage.bucket_errors import refused, refused_line, unanswered, unanswered_line
from p2i_ray.storage.disk_full import disk_full_cause, full_line

_causes: list[Callable[[], str | None]] = []


class AlternativeAction(NamedTuple):
    """An action that a job takes instead of its work when its command line has a flag."""

    flag: str  # --plan
    description: str
    config_class: type[Config]  # may require fewer settings than the job's
    run: Callable[[Any], None]


class SettingFlag(NamedTuple):
    """A flag that sets a setting which counts for one command only."""

    flag: str  # --redo-from
    setting: str
    description: str


def look_first(find: Callable[[], str | None]) -> None:
    """Have a job that fails look for a cause behind whatever it failed with: a line, which it then ends with, or none.

    The exit code is then 1: the same command may do better.
    """
    if find not in _causes:
        _causes.append(find)


def main(
    config_class: type[AnyConfig],
    doc: str | None,
    run: Callable[[AnyConfig], None],
    argv: Sequence[str] | None = None,
    *,
    instead: Sequence[AlternativeAction] = (),
    flags: Sequence[SettingFlag] = (),
) -> None:
    """Parse the command line, run the job, and turn a UserError into one line and exit code 2.

    Args:
        config_class: the job's settings; its own keys come first in `--help`.
        doc: the job's module docstring, shown by `--help`.
        run: the job.
        argv: the arguments (none: the process's).
        instead: flags with the actions that replace the job's work.
        flags: further flags, each with a value.
    """
    parser = argparse.ArgumentParser(
        description=doc,
        epilog=_settings_help(config_class, instead),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    presets = ", ".join(sorted(p.stem for p in PRESETS.glob("*.yaml")))
    parser.add_argument(
        "--config", required=True, metavar="PRESET_OR_FILE", help=f"a preset ({presets}) or a YAML file"
    )
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings laid over the preset; see below")
    parser.set_defaults(instead=None)
    for number, other in enumerate(instead):
        parser.add_argument(other.flag, dest="instead", action="store_const", const=number, help=other.description)
    for one in flags:
        parser.add_argument(one.flag, dest=one.setting, metavar="STEP", help=one.description)
    with _one_line_errors(embedded=argv is not None):
        arguments = parser.parse_args(argv)
        given = [f"{one.setting}={value}" for one in flags if (value := getattr(arguments, one.setting)) is not None]
        if arguments.instead is None:
            run(load(config_class, arguments.config, [*arguments.settings, *given]))
        else:
            other = instead[arguments.instead]
            other.run(load(other.config_class, arguments.config, arguments.settings))


def main_without_preset(
    settings_class: type[AnySettings],
    doc: str | None,
    run: Callable[[AnySettings], None],
    argv: Sequence[str] | None = None,
) -> None:
    """The same for a job that needs no preset: `python jobs/NAME.py key=value …`.

    Args:
        settings_class: the job's settings.
        doc: the job's module docstring, shown by `--help`.
        run: the job.
        argv: the arguments (none: the process's).
    """
    parser = argparse.ArgumentParser(
        description=doc,
        epilog="\n".join(["settings:", *map(_row, describe(settings_class))]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("settings", nargs="*", metavar="key=value", help="the settings; see below")
    with _one_line_errors(embedded=argv is not None):
        run(load_alone(settings_class, parser.parse_args(argv).settings))


@contextmanager
def _one_line_errors(*, embedded: bool) -> Iterator[None]:
    """Set up the process for a job; signals and what users can mend end it in one line and an exit code."""
    with interrupts.handled(embedded=embedded):
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        logs.set_up()
        try:
            yield
        except Exception as error:
            if interrupts.interrupted():
                raise
            for find in _causes:
                if (cause := find()) is not None:
                    _stop(cause, code=1)
            if isinstance(error, WorkerDiedError):
                _stop(str(error), code=1)
            line = _line(error)
            if line is None:
                raise
            _stop(line)


def _line(error: Exception) -> str | None:
    """The line for an exception that users can do something about; none: it is a fault of another kind."""
    if (line := user_error_line(error)) is not None:
        return line
    if (why := unanswered(error)) is not None:
        return unanswered_line(None, why)
    if (why := refused(error)) is not None:
        return refused_line(why)
    if (full := disk_full_cause(error)) is not None:
        return full_line(full)
    return None


def _stop(line: str, code: int = 2) -> NoReturn:
    sys.stdout.flush()
    print(f"error: {line}", file=sys.stderr)
    raise SystemExit(code)


def _settings_help(config_class: type[AnyConfig], instead: Sequence[AlternativeAction]) -> str:
    rows = list(describe(config_class))
    shared = {key for key, _, _ in describe(Config)}
    own = [row for row in rows if row[0] not in shared]
    lines = ["settings of this job:", *map(_row, own), ""] if own else []
    lines += ["settings of all jobs (a preset gives most of them):", *map(_row, (r for r in rows if r[0] in shared))]
    listed = {key for key, _, _ in rows}
    for other in instead:
        more = [row for row in describe(other.config_class) if row[0] not in listed]
        lines += ["", f"settings of {other.flag}:", *map(_row, more)] if more else []
    return "\n".join(lines)


def _row(row: tuple[str, str, str]) -> str:
    key, default, description = row
    return f"  {key}={default}\n      {description}"
