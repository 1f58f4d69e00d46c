"""What a replica has started ends with it, however it ends: an engine that was left alone would keep its GPU's memory.

vLLM sees to that once an engine is up. One that still loads when its replica is killed waits for it for ever. So a
process of its own watches the replica, and finds what it has started by a mark in the environment. A forked process has
none, but vLLM forks nothing in a Ray actor.

    python -m p2i_ray.lmm.engine.guard MARK     # kills the processes with this mark when its standard input ends
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid

MARK = "P2I_STARTED_BY"
_guards: list[subprocess.Popen[bytes]] = []  # held open for as long as this process lives


def start() -> None:
    """Have everything that this process starts from now on end with it."""
    if _guards:
        return
    mark = uuid.uuid4().hex
    command = [sys.executable, "-m", __name__, mark]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    os.environ[MARK] = mark
    _guards.append(guard)


def end(mark: str) -> None:
    """kill -9 the processes with this mark."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # just ended, or another user's
            if process.environ().get(MARK) == mark:
                process.kill()


if __name__ == "__main__":
    sys.stdin.buffer.read()  # until the replica is gone
    end(sys.argv[1])
