"""Find a cluster's processes and their roles, by the titles that Ray, Serve and vLLM give them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import psutil

RAYLET = "RAY_RAYLET_PID"  # in the environment of a raylet's descendants
TITLES = {
    "engine": re.compile(r"^(ray::ServeReplica:judge-|VLLM::EngineCore)"),
    "trainer": re.compile(r"^ray::RayTrainWorker"),
    "actor": re.compile(r"^ray::MapWorker\(MapBatches\((Encode|_Paint)\)\)"),
}


class Process(NamedTuple):
    """A process of a cluster."""

    pid: int
    title: str


def below(parents: Iterable[int]) -> list[Process]:
    """All descendants of these processes, with their titles.

    Titles alone don't identify a victim: other clusters on the machine have processes with the same titles.
    """
    found = []
    for pid in parents:
        try:
            for process in psutil.Process(pid).children(recursive=True):
                found.append(Process(process.pid, title(process)))
        except psutil.NoSuchProcess:  # it has just ended, with its children
            continue
    return found


def orphans(raylets: Collection[int]) -> list[Process]:
    """Descendants of these raylets whose parent is gone."""
    started: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if int(process.environ().get(RAYLET, 0)) in raylets:
                started[process.pid] = process
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # it has just ended, or is another user's
            continue
    parents = {*raylets, *started}
    return [Process(pid, title(p)) for pid, p in started.items() if _parent(p) not in parents and p.is_running()]


def _parent(process: psutil.Process) -> int | None:
    try:
        return int(process.ppid())
    except psutil.NoSuchProcess:
        return None


def end(processes: Iterable[Process]) -> None:
    """Kill processes with SIGKILL."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def title(process: psutil.Process) -> str:
    """The command line as `ps` shows it; empty if the process has just ended."""
    try:
        return " ".join(process.cmdline()).strip()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def of_kind(kind: str, processes: Sequence[Process]) -> list[Process]:
    """The processes that a fault of this kind may kill, by their ids."""
    return sorted(process for process in processes if TITLES[kind].match(process.title))


def pick(share: float, victims: Sequence[Process]) -> Process:
    """The victim at this fraction of their number, 0..1."""
    return victims[min(int(share * len(victims)), len(victims) - 1)]


def stacks(pid: int) -> str:
    """The stacks of a process, if py-spy is on the path."""
    spy = shutil.which("py-spy")
    if spy is None:
        return ""
    try:
        return subprocess.run([spy, "dump", "--pid", str(pid)], capture_output=True, text=True, timeout=30).stdout
    except subprocess.TimeoutExpired:
        return f"{pid}: no stack within 30 s"
