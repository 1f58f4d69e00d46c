"""Termination of a replica's child processes with the replica: an orphaned engine would keep its GPU's memory.

vLLM does this once an engine is ready. One that still loads when its replica is killed waits for it for ever. So a
separate process watches the replica and finds the processes that it started by a mark in their environment. A forked
process doesn't have the mark, but vLLM forks nothing in a Ray actor.

Ray's own cleanup of a worker's processes covers the end of the worker, but not of its raylet: in Ray 2.60.0 a
grandchild of the replica then kept running, also with RAY_process_group_cleanup_enabled and
RAY_kill_child_processes_on_worker_exit_with_raylet_subreaper set.

    python process_reaper.py MARK     # kills the processes with this mark when its standard input ends
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
_reapers: list[subprocess.Popen[bytes]] = []  # kept, so that their standard input stays open while this process lives


def start() -> None:
    """Make every process that this one starts from now on end with it."""
    if _reapers:
        return
    mark = uuid.uuid4().hex
    reaper = subprocess.Popen([sys.executable, "-P", __file__, mark], stdin=subprocess.PIPE)
    if reaper.wait():
        raise RuntimeError(f"{__file__} doesn't start: exit code {reaper.returncode}")
    os.environ[MARK] = mark
    _reapers.append(reaper)


def end(mark: str) -> None:
    """Kill (SIGKILL) the processes with this mark, and those that they start meanwhile."""
    while found := list(_marked(mark)):
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(found, timeout=1)


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(
            psutil.NoSuchProcess, psutil.AccessDenied
        ):  # has just ended, or belongs to another user
            if process.environ().get(MARK) == mark and not _is_resource_tracker(process):
                yield process


def _is_resource_tracker(process: psutil.Process) -> bool:
    """Whether it is multiprocessing's resource tracker, which ends by itself and frees the others' shared memory."""
    return any("multiprocessing.resource_tracker" in argument for argument in process.cmdline())


if __name__ == "__main__":
    if os.fork():  # detach from the replica: Ray ends a worker's children with it, and would end this process first
        os._exit(0)
    os.setsid()
    sys.stdin.buffer.read()  # returns when the replica has ended
    end(sys.argv[1])
