"""What a replica has started ends with it, however it ends: an engine that was left alone would keep its GPU's memory.

vLLM sees to that once an engine is up. One that still loads when its replica is killed waits for it for ever. So a
process of its own watches the replica, and finds what it has started by a mark in the environment. A forked process has
none, but vLLM forks nothing in a Ray actor.

Ray's own cleanup of a worker's processes covers the death of the worker, not that of its raylet: there (Ray 2.60.0)
a grandchild of the replica went on, also with RAY_process_group_cleanup_enabled and
RAY_kill_child_processes_on_worker_exit_with_raylet_subreaper set.

    python guard.py MARK     # kills the processes with this mark when its standard input ends
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import psutil

MARK = "P2I_STARTED_BY"
_guards: list[subprocess.Popen[bytes]] = []  # held open for as long as this process lives


def start() -> None:
    """Have everything that this process starts from now on end with it."""
    if _guards:
        return
    mark = uuid.uuid4().hex
    guard = subprocess.Popen([sys.executable, "-P", __file__, mark], stdin=subprocess.PIPE)
    if guard.wait():
        raise RuntimeError(f"{__file__} doesn't start: exit code {guard.returncode}")
    os.environ[MARK] = mark
    _guards.append(guard)


def end(mark: str) -> None:
    """kill -9 the processes with this mark, and those that they start meanwhile."""
    while found := list(_marked(mark)):
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(found, timeout=1)


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # just ended, or another user's
            if process.environ().get(MARK) == mark and not _tidies_up(process):
                yield process


def _tidies_up(process: psutil.Process) -> bool:
    """Whether it is multiprocessing's own, which ends after the others and removes the memory that they shared."""
    return any("multiprocessing.resource_tracker" in argument for argument in process.cmdline())


if __name__ == "__main__":
    if os.fork():  # no child of the replica: Ray, which ends a worker's children with it, would end this one first
        os._exit(0)
    os.setsid()
    sys.stdin.buffer.read()  # until the replica is gone
    end(sys.argv[1])
