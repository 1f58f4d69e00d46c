"""Give the sampler one processor core, and all other processes of a service the others."""

from __future__ import annotations

import os
import re
from contextlib import suppress

import psutil

SAMPLER = re.compile(r"^ray::ServeReplica:.*:Sampler\b")  # a replica's process title
SAMPLERS_CORE = 0


def apart() -> None:
    """Pin this process and all that it started, thread by thread.

    Raises:
        RuntimeError: there is one core only, or no sampler.
    """
    others = os.sched_getaffinity(0) - {SAMPLERS_CORE}
    if not others:
        raise RuntimeError("one core can't be shared out")
    mine, found = psutil.Process(), False
    for process in (mine, *mine.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            samples = bool(SAMPLER.match(" ".join(process.cmdline())))
            found = found or samples
            pin(process, {SAMPLERS_CORE} if samples else others)
    if not found:
        raise RuntimeError("no sampler runs")


def together(cores: set[int]) -> None:
    """Let this process, and what it starts from now on, use these cores."""
    pin(psutil.Process(), cores)


def pin(process: psutil.Process, cores: set[int]) -> None:
    """Let all threads of a process use these cores alone; those that they start later, too."""
    for thread in process.threads():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(thread.id, cores)
