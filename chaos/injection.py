"""Run a job with faults: start it, inject each fault at its moment, start it again where it has ended early."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chaos import victims
from chaos.bucket import Bucket
from chaos.disk import RunDisk
from chaos.faults import Fault, Step
from chaos.job import Job
from chaos.nodes import Nodes

POLL_S = 0.05
SETTLE_S = 15.0  # an engine ends a moment after its client
MOST_COMMANDS = 6


@dataclass
class InjectedFault:
    """A fault that was injected, its target, and the step that was running `seconds` after the first command."""

    fault: Fault
    round: int
    step: str
    whom: str
    seconds: float


@dataclass
class RunRecord:
    """The events of a run.

    Attributes:
        seconds: from the first command to the last one's end.
        injected: faults that were injected.
        missed: faults that found no victim before the run's end.
        endings: how each command ended.
        startup_s: seconds until the first step was running, summed over all commands after the first.
        hung: the step at which it hung (none: it ended in time).
        strays: files that were written in place of the run's folder while that was detached.
        orphans: processes that have outlived their parents.
    """

    seconds: float = 0.0
    injected: list[InjectedFault] = field(default_factory=list)
    missed: list[Fault] = field(default_factory=list)
    endings: list[str] = field(default_factory=list)
    startup_s: float = 0.0
    hung: str | None = None
    strays: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)


@dataclass
class _Outage:
    """A resource that is missing for a while."""

    until: float
    keep: Callable[[], None]  # called until then
    end: Callable[[], None]


class FaultInjection:
    """A job with the faults that are injected while it runs.

    Args:
        job: not started yet.
        faults: in the order of their moments.
        step_seconds: duration of each step of an undisturbed run, in the order of the steps.
        nodes: the cluster that the job runs on.
        disk: the disk of the run's folder.
        bucket: the bucket of the run's folder (none: it lies on the disk).
        limit_s: seconds after which the run counts as hung.
        evidence: file for the stacks and processes of a run that hung.
    """

    def __init__(
        self,
        job: Job,
        faults: Sequence[Fault],
        *,
        step_seconds: Mapping[Step, float],
        nodes: Nodes,
        disk: RunDisk,
        limit_s: float,
        evidence: Path,
        bucket: Bucket | None = None,
    ) -> None:
        self._job, self._nodes, self._disk, self._bucket = job, nodes, disk, bucket
        self._pending = list(faults)
        self._step_seconds = dict(step_seconds)
        self._limit_s = limit_s
        self._evidence = evidence
        self._outage: _Outage | None = None
        self._record = RunRecord()
        self._position = 0  # of the running step in the order of steps
        self._since = 0.0  # time.monotonic() of its begin

    def run(self) -> RunRecord:
        """Run the job until it is done or counts as hung."""
        start = self._since = time.monotonic()
        self._job.begin()
        try:
            while not self._has_ended(start):
                self._advance(start)
                time.sleep(POLL_S)
        finally:
            self._job.kill()  # it still runs only if this process was told to end
        self._record.seconds = time.monotonic() - start
        self._record.missed = self._pending
        self._record.startup_s = sum(command.startup_s or 0.0 for command in self._job.commands[1:])
        self._record.strays = self._disk.strays()
        self._record.orphans = self._end_orphans()
        return self._record

    def _end_orphans(self) -> list[str]:
        """End the processes that don't end by themselves after their parents; return their titles."""
        settled = time.monotonic() + SETTLE_S
        while (orphans := self._nodes.orphans()) and time.monotonic() < settled:
            time.sleep(POLL_S)
        victims.end(orphans)
        return [process.title for process in orphans]

    def _advance(self, start: float) -> None:
        now = time.monotonic()
        if self._outage and now < self._outage.until and self._job.look().code is None:
            self._outage.keep()
        elif self._outage:
            self._outage.end()
            self._outage = None
        else:
            self._update_step(now)
            self._maybe_inject(now, start)

    def _has_ended(self, start: float) -> bool:
        """Whether the run has ended; start the job again if it has ended early."""
        command = self._job.look()
        if command.code is None:
            if time.monotonic() - start > self._limit_s:
                self._hang(f"round {self._step()[0]} {self._step()[1]}, after {self._limit_s:.0f} s")
            return self._record.hung is not None
        if self._outage:  # is to end first
            return False
        self._record.endings.append(command.ending)
        if command.code == 0:
            return True
        if len(self._job.commands) == MOST_COMMANDS:
            self._record.hung = f"ended early {MOST_COMMANDS} times, last with {command.ending}"
            return True
        self._job.begin()
        return False

    def _step(self) -> Step:
        return (
            list(self._step_seconds)[min(self._position, len(self._step_seconds) - 1)]
            if self._step_seconds
            else (0, "")
        )

    def _update_step(self, now: float) -> None:
        """Advance past the steps that have ended."""
        while self._position < len(self._step_seconds) - 1 and self._job.done(self._step()):
            self._position += 1
            self._since = now

    def _maybe_inject(self, now: float, start: float) -> None:
        if not self._pending:
            return
        fault = self._pending[0]
        planned = list(self._step_seconds).index((fault.round, fault.step))
        elapsed = (now - self._since) / max(self._step_seconds[self._step()], 1e-9)
        if self._position < planned or (self._position == planned and elapsed < fault.share):
            return
        number, step = self._step()
        whom = self._inject(fault)
        if whom is not None:
            self._pending.pop(0)
            self._record.injected.append(
                InjectedFault(fault=fault, round=number, step=step, whom=whom, seconds=now - start)
            )

    def _inject(self, fault: Fault) -> str | None:
        """Inject a fault and return its target; none: there is no victim yet."""
        nodes, disk, until = self._nodes, self._disk, time.monotonic() + fault.hold_s
        if fault.kind in victims.TITLES:
            return _kill_victim(fault, nodes)
        if fault.kind == "driver":
            self._job.kill()
            return f"driver {self._job.pid}"
        if fault.kind == "node":
            whom = nodes.lose(fault.victim)
            self._outage = _Outage(until, _do_nothing, nodes.replace)
            return whom
        if fault.kind == "network cut":
            whom = nodes.cut(fault.victim)
            self._outage = _Outage(until, _do_nothing, nodes.mend)
            return f"{whom} for {fault.hold_s:.0f} s"
        if fault.kind == "bucket 503":
            assert self._bucket is not None
            self._bucket.refuse()
            self._outage = _Outage(until, _do_nothing, self._bucket.answer)
            return self._bucket.uri
        if fault.kind == "full disk":
            disk.fill()
            self._outage = _Outage(until, disk.fill, disk.free)
            return str(disk.root)
        disk.detach()
        self._outage = _Outage(until, _do_nothing, disk.attach)
        return str(disk.root.parent)

    def _hang(self, where: str) -> None:
        """Record the run as hung, and write the processes' stacks and the end of the log as evidence."""
        self._record.hung = where
        running = self._nodes.processes()
        seen = [f"{process.pid} {process.title}" for process in running]
        seen += [victims.stacks(pid) for pid in [self._job.pid, *(process.pid for process in running)]]
        seen += self._job.log.read_text("utf-8", "replace").splitlines()[-20:]
        self._evidence.write_text("\n".join(seen), "utf-8")


def _kill_victim(fault: Fault, nodes: Nodes) -> str | None:
    found = victims.of_kind(fault.kind, nodes.processes())
    if not found:
        return None
    chosen = victims.pick(fault.victim, found)
    try:
        os.kill(chosen.pid, signal.SIGKILL)
    except ProcessLookupError:  # it has ended by itself
        return None
    return f"{chosen.title.split(':')[-1] if 'VLLM' in chosen.title else chosen.title} {chosen.pid}"


def _do_nothing() -> None:
    return None
