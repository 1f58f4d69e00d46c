"""The holder of a lease: a process, as others on its machine or elsewhere can recognise it.

On the same machine a process that is gone is seen at once. Everywhere else only the ticks tell: whoever looks waits for
them to change, by a clock of its own. Times of day of two machines are never compared.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

ENDED = "ZXx"  # states of a process that has ended and whose parent hasn't asked yet


class Holder(BaseModel):
    """A process that holds a lease."""

    owner: str  # unique
    host: str
    pid: int
    machine: str | None  # the kernel's boot and the space of its process ids (none: not known here)
    started: int | None  # of the process, in the kernel's ticks since its boot
    since: float  # UTC, epoch seconds by its own clock: for people only
    ticks: int = 0

    def line(self) -> str:
        """Host, process and begin."""
        return f"{self.host}, process {self.pid}, since {datetime.fromtimestamp(self.since, UTC):%Y-%m-%d %H:%M:%S} UTC"

    def process(self) -> Literal["runs", "gone", "unknown"]:
        """Whether the process runs, as far as this machine can tell."""
        if self.machine is None or self.machine != this_machine():
            return "unknown"
        return "runs" if started(self.pid) == self.started else "gone"


def this_process() -> Holder:
    """This process, with a new owner's id."""
    pid = os.getpid()
    return Holder(
        owner=uuid.uuid4().hex,
        host=socket.gethostname(),
        pid=pid,
        machine=this_machine(),
        started=started(pid),
        since=time.time(),
    )


def this_machine() -> str | None:
    """The kernel's boot and this process's space of process ids; none where there is no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def started(pid: int) -> int | None:
    """The start of a process of this machine, in ticks since the kernel's boot; none if it runs no more."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # after the program's name, which may hold anything
    return None if fields[0] in ENDED else int(fields[19])
