"""Which tests start a Ray cluster, an engine, a browser or another process: they run apart from those that don't."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

FIXTURES = {"ray_cluster", "browser"}
MODULES = {"subprocess", "multiprocessing", "torch.multiprocessing"}
PROGRAMS = ("python", "gcs_server", "raylet", "chrom", "node")  # small tools such as git and mount are let pass

_started: list[str] = []


def is_heavy(item: pytest.Item) -> bool:
    """Whether a test asks for a heavy fixture, or starts processes itself or through fixtures and helpers of tests."""
    if FIXTURES & set(getattr(item, "fixturenames", ())):
        return True
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    seen: set[int] = set()
    return any(_starts_processes(function, seen) for function in [item.function, *(f[-1].func for f in fixtures)])


def _starts_processes(function: Any, seen: set[int]) -> bool:
    function = getattr(function, "__wrapped__", function)
    if not isinstance(function, FunctionType) or id(function) in seen:
        return False
    seen.add(id(function))
    for name in _names(function.__code__):
        found = function.__globals__.get(name)
        if isinstance(found, ModuleType) and found.__name__ in MODULES:
            return True
        if getattr(found, "__module__", "").startswith("tests.") and _starts_processes(found, seen):
            return True
    return False


def _names(code: CodeType) -> Iterator[str]:
    """The global names that a function and those inside it use."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def note_processes() -> None:
    """From now on keep the names of the programs that this process starts."""

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen":
            program = Path(os.fsdecode(arguments[0] or arguments[1][0])).name
            if program.startswith(PROGRAMS):
                _started.append(program)

    sys.addaudithook(note)


def started() -> list[str]:
    """The programs started since the last call."""
    found, _started[:] = sorted(set(_started)), []
    return found
