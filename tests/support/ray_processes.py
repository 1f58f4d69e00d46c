"""Processes of this process's local Ray cluster, by what Ray titles them."""

from __future__ import annotations

import time
from collections.abc import Collection

import psutil


def titled(part: str) -> set[psutil.Process]:
    """Those that run now and whose title has the part."""
    return {process for process in psutil.Process().children(recursive=True) if part in _title(process)}


def wait_for(part: str, besides: Collection[psutil.Process] = ()) -> set[psutil.Process]:
    """The first ones with the part in their title besides some, within a minute."""
    end = time.monotonic() + 60
    while not (found := titled(part).difference(besides)):
        assert time.monotonic() < end, f"no process of Ray is titled {part}"
        time.sleep(0.1)
    return found


def stays(process: psutil.Process) -> bool:
    """Whether one still runs after half a minute."""
    end = time.monotonic() + 30
    try:
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:  # which nobody has asked about yet
            if time.monotonic() > end:
                return True
            time.sleep(0.1)
    except psutil.NoSuchProcess:  # ended in between
        pass
    return False


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # ended meanwhile
        return ""
