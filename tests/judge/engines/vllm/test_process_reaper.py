"""A replica's child processes end with it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from chaos import victims

ROOT = Path(__file__).parents[4]
# A replica that starts another process, which starts one itself; and prints the process ids.
REPLICA = """
import multiprocessing, subprocess, sys, time
from p2i_ray.judge.engines.vllm import process_reaper

def load(pipe):
    from multiprocessing import shared_memory
    shared = shared_memory.SharedMemory(create=True, size=4096)
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pipe.send((grandchild.pid, shared.name))
    time.sleep(600)

if __name__ == "__main__":
    process_reaper.start()
    process_reaper.start()  # a second engine in the same replica
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=load, args=(there,))
    child.start()
    print(child.pid, *here.recv(), flush=True)
    if sys.argv[1] == "waits":
        time.sleep(600)
    import os
    os._exit(3)
"""
ENGINE = """
import asyncio, os
from p2i_ray.config import Config, ImageConfig, load
from p2i_ray.judge.engines.vllm.replica import VLLMEngine
from p2i_ray.judge.engines.vllm.settings import engine_environment

judge = load(Config, "mini").judge
os.environ.update(engine_environment(judge))
replica = VLLMEngine.__new__(VLLMEngine)
asyncio.run(VLLMEngine.__init__(replica, judge, ImageConfig(resolution=64), 0, application="none"))
"""


def until(holds: Callable[[], bool], within_s: float = 30.0) -> bool:
    """Whether the condition becomes true in time."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)  # polling, with a deadline
    return True


def gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


@pytest.mark.parametrize("end", ["waits", "ends"])
def test_children_and_theirs_end_with_a_killed_replica(tmp_path: Path, end: str) -> None:
    program = tmp_path / "replica.py"
    program.write_text(REPLICA, "utf-8")
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    replica = subprocess.Popen(
        [sys.executable, str(program), end], stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    try:
        assert replica.stdout
        child, grandchild, shared = replica.stdout.readline().split()
        if end == "waits":
            for process in psutil.Process(replica.pid).children():  # as Ray does when it ends a worker
                process.kill()
            replica.kill()
        replica.wait(30)
        assert until(lambda: gone([int(child), int(grandchild)]))
        assert end == "waits" or until(lambda: not Path("/dev/shm", shared).exists())  # freed by the resource tracker
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.slow
def test_an_engine_that_still_loads_ends_with_its_replica() -> None:
    replica = subprocess.Popen([sys.executable, "-c", ENGINE], cwd=ROOT, stderr=subprocess.DEVNULL)
    seen: list[psutil.Process] = []
    while not any("spawn_main" in line for line in map(victims.title, seen)):
        assert replica.poll() is None
        seen = psutil.Process(replica.pid).children(recursive=True)
        time.sleep(0.05)  # polling for vLLM's process
    replica.kill()
    replica.wait()
    assert until(lambda: gone([process.pid for process in seen]))
