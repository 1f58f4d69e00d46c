"""Watch the memory of a benchmark's part that runs in a process of its own.

The child prints "ready" when libraries are loaded, waits for a line, does its work, and prints its figures as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

import psutil

READY = "ready"
WATCH_S = 0.5  # between two looks at a process and all that it started
SAMPLE_S = 0.02  # between two looks at a process's memory


class Cost(NamedTuple):
    """The time and memory of a child's work."""

    seconds: float
    peak_mb: float  # its memory at most, beyond what it had when it was ready
    processor_s: float  # of it and of all processes that it started


def measure(module: str, *arguments: object) -> Cost:
    """Run a module that calls `timed`, and watch it.

    Args:
        module: its name.
        arguments: of its command line.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin and child.stdout
        if f"{READY}\n" not in child.stdout:  # reads on to that line
            raise RuntimeError(f"{' '.join(command)} failed before it was ready")
        with memory_growth(child.pid) as grown:
            child.stdin.write("\n")
            child.stdin.flush()
            figures = [json.loads(line) for line in child.stdout if line.startswith('{"seconds"')]
    if child.returncode or not figures:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}")
    return Cost(peak_mb=max(grown) / 1e6, **figures[0])


def timed(work: Callable[[], object]) -> None:
    """In a child: say that it is ready, wait for the word, work, and print the seconds; what `work` returns counts."""
    print(READY, flush=True)
    sys.stdin.readline()
    start, before = time.perf_counter(), processor_s()
    held = work()
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "processor_s": processor_s() - before}), flush=True)
    del held  # only now


def processor_s() -> float:
    """Processor time of this process and of all that it started, also of those that have ended, seconds."""
    used = 0.0
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            used += sum(process.cpu_times()[:4])  # user, system, and those of its children that have ended
    return used


@contextmanager
def memory_growth(pid: int) -> Iterator[Sequence[float]]:
    """A list that, afterwards, has by how much a process's own memory grew, bytes, at every look."""
    process, seen = psutil.Process(pid), [0.0]
    base = own_memory(process)
    with _repeated(lambda: seen.append(own_memory(process) - base), SAMPLE_S):
        yield seen


@contextmanager
def _repeated(look: Callable[[], None], every_s: float) -> Iterator[None]:
    """Look again and again, in a thread, while the block runs."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(every_s):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def own_memory(process: psutil.Process) -> float:
    """Memory of a process that no other maps, bytes; 0 when it has ended."""
    try:
        memory = process.memory_info()
    except psutil.NoSuchProcess:  # also a zombie
        return 0.0
    return float(memory.rss - memory.shared)


@dataclass
class Memory:
    """The most memory that processes had, bytes."""

    together: float = 0.0
    largest: float = 0.0  # of one process


@contextmanager
def watched(pid: int) -> Iterator[Memory]:
    """The most memory that a process and all that it starts had while the block ran."""
    root, seen = psutil.Process(pid), Memory()

    def look() -> None:
        with suppress(psutil.NoSuchProcess):
            own = [own_memory(process) for process in (root, *root.children(recursive=True))]
            seen.together, seen.largest = max(seen.together, sum(own)), max(seen.largest, *own)

    with _repeated(look, WATCH_S):
        yield seen
