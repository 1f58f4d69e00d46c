"""One run through its faults: start the job, strike at the moments, start it again where it has ended early."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chaos import victims
from chaos.faults import Fault, Step
from chaos.job import Job
from chaos.nodes import Nodes
from chaos.shelf import Shelf

POLL_S = 0.05
SETTLE_S = 15.0  # an engine ends a moment after the process that asked it
MOST_COMMANDS = 6


@dataclass
class Struck:
    """A fault that happened, and the step that was being done then, `seconds` after the first command."""

    fault: Fault
    round: int
    step: str
    whom: str
    seconds: float


@dataclass
class Story:
    """How a run went.

    Attributes:
        seconds: from the first command to the last one's end.
        struck: what happened to it.
        missed: faults that found no victim before the run's end.
        endings: how each command ended.
        startup_s: of all commands after the first, seconds until the first step of each was under way.
        hung: where, if it didn't end in time.
        strays: files that were written where the run's folder had been.
        orphans: processes that have outlived those that started them.
    """

    seconds: float = 0.0
    struck: list[Struck] = field(default_factory=list)
    missed: list[Fault] = field(default_factory=list)
    endings: list[str] = field(default_factory=list)
    startup_s: float = 0.0
    hung: str | None = None
    strays: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)


@dataclass
class _Taken:
    """What was taken away for a while."""

    until: float
    keep: Callable[[], None]  # called until then
    give_back: Callable[[], None]


class Storm:
    """A run and its faults.

    Args:
        job: not started yet.
        faults: in the order of their moments.
        pace: an undisturbed run's steps in order, and the seconds of each.
        nodes: the cluster that it runs on.
        shelf: where its folder stands.
        limit_s: it counts as hung after so many seconds.
        evidence: file for the stacks and processes of a run that hung.
    """

    def __init__(
        self, job: Job, faults: Sequence[Fault], pace: Mapping[Step, float], nodes: Nodes, shelf: Shelf, limit_s: float,
        evidence: Path,
    ) -> None:  # fmt: skip
        self._job, self._nodes, self._shelf = job, nodes, shelf
        self._coming = list(faults)
        self._pace = dict(pace)
        self._limit_s = limit_s
        self._evidence = evidence
        self._taken: _Taken | None = None
        self._story = Story()
        self._position = 0  # in the pace's order: the step that is being done
        self._since = 0.0  # time.monotonic() of its begin

    def run(self) -> Story:
        """Until the job is done, or counts as hung."""
        start = self._since = time.monotonic()
        self._job.begin()
        try:
            while not self._over(start):
                self._turn(start)
                time.sleep(POLL_S)
        finally:
            self._job.kill()  # it has ended, but where this process is told to end
        self._story.seconds = time.monotonic() - start
        self._story.missed = self._coming
        self._story.startup_s = sum(command.startup_s or 0.0 for command in self._job.commands[1:])
        self._story.strays = self._shelf.strays()
        self._story.orphans = self._end_orphans()
        return self._story

    def _end_orphans(self) -> list[str]:
        """The titles of processes that don't end by themselves now that whoever started them is gone; ends them."""
        settled = time.monotonic() + SETTLE_S
        while (orphans := self._nodes.orphans()) and time.monotonic() < settled:
            time.sleep(POLL_S)
        victims.end(orphans)
        return [process.title for process in orphans]

    def _turn(self, start: float) -> None:
        now = time.monotonic()
        if self._taken and now < self._taken.until and self._job.look().code is None:
            self._taken.keep()
        elif self._taken:
            self._taken.give_back()
            self._taken = None
        else:
            self._follow(now)
            self._maybe_strike(now, start)

    def _over(self, start: float) -> bool:
        """Whether it is; starts the job again where it isn't and has ended."""
        command = self._job.look()
        if command.code is None:
            if time.monotonic() - start > self._limit_s:
                self._hang(f"round {self._step()[0]} {self._step()[1]}, after {self._limit_s:.0f} s")
            return self._story.hung is not None
        if self._taken:  # given back first
            return False
        self._story.endings.append(command.ending)
        if command.code == 0:
            return True
        if len(self._job.commands) == MOST_COMMANDS:
            self._story.hung = f"ended early {MOST_COMMANDS} times, last with {command.ending}"
            return True
        self._job.begin()
        return False

    def _step(self) -> Step:
        return list(self._pace)[min(self._position, len(self._pace) - 1)] if self._pace else (0, "")

    def _follow(self, now: float) -> None:
        """Notice steps that have ended."""
        while self._position < len(self._pace) - 1 and self._job.done(self._step()):
            self._position += 1
            self._since = now

    def _maybe_strike(self, now: float, start: float) -> None:
        if not self._coming:
            return
        fault = self._coming[0]
        planned = list(self._pace).index((fault.round, fault.step))
        elapsed = (now - self._since) / max(self._pace[self._step()], 1e-9)
        if self._position < planned or (self._position == planned and elapsed < fault.share):
            return
        number, step = self._step()
        whom = self._strike(fault)
        if whom is not None:
            self._coming.pop(0)
            self._story.struck.append(Struck(fault, number, step, whom, now - start))

    def _strike(self, fault: Fault) -> str | None:
        """Let it happen; says to whom. None: there is no victim yet."""
        nodes, shelf, until = self._nodes, self._shelf, time.monotonic() + fault.hold_s
        if fault.kind in victims.TITLES:
            return _kill_one(fault, nodes)
        if fault.kind == "driver":
            self._job.kill()
            return f"driver {self._job.pid}"
        if fault.kind == "node":
            whom = nodes.lose(fault.victim)
            self._taken = _Taken(until, _nothing, nodes.replace)
            return whom
        if fault.kind == "full disk":
            shelf.fill()
            self._taken = _Taken(until, shelf.fill, shelf.free)
            return str(shelf.disk)
        shelf.hide()
        self._taken = _Taken(until, _nothing, shelf.show)
        return str(shelf.disk.parent)

    def _hang(self, where: str) -> None:
        """Write down what can be seen, and end it."""
        self._story.hung = where
        running = self._nodes.processes()
        seen = [f"{process.pid} {process.title}" for process in running]
        seen += [_stacks(pid) for pid in [self._job.pid, *(process.pid for process in running)]]
        seen += self._job.log.read_text("utf-8", "replace").splitlines()[-20:]
        self._evidence.write_text("\n".join(seen), "utf-8")


def _kill_one(fault: Fault, nodes: Nodes) -> str | None:
    found = victims.of_kind(fault.kind, nodes.processes())
    if not found:
        return None
    chosen = victims.pick(fault.victim, found)
    try:
        os.kill(chosen.pid, signal.SIGKILL)
    except ProcessLookupError:  # it has ended by itself
        return None
    return f"{chosen.title.split(':')[-1] if 'VLLM' in chosen.title else chosen.title} {chosen.pid}"


def _stacks(pid: int) -> str:
    """What a process is doing, where py-spy is on the path."""
    spy = shutil.which("py-spy")
    if spy is None:
        return ""
    try:
        return subprocess.run([spy, "dump", "--pid", str(pid)], capture_output=True, text=True, timeout=30).stdout
    except subprocess.TimeoutExpired:
        return f"{pid}: no stack within 30 s"


def _nothing() -> None:
    return None
