"""Signals and closed pipes, as a job's process meets them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from p2i_ray.console import interrupts
from tests.support import ray_processes

ROOT = Path(__file__).parents[2]
STOPPING = "\nstopping; what is finished stays, the same command goes on (again: at once)\n"
JOB = """
import sys, threading, time
from p2i_ray.config import Config
from p2i_ray.console import interrupts
from p2i_ray.console.cli import main

def run(job):
    try:
        print("runs", flush=True)
        {body}
    finally:
        {last}

main(Config, "a job", run)
print("over", flush=True)
sys.stdin.read()
"""


def start(body: str, last: str = "print('cleaned up')") -> subprocess.Popen[str]:
    command, pipe = [sys.executable, "-c", JOB.format(body=body, last=last), "--config", "mini"], subprocess.PIPE
    job = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert job.stdout and job.stdout.readline() == "runs\n"
    return job


def start_lines(*lines: str, said: str) -> subprocess.Popen[str]:
    """Start a job of several lines, of which one has printed something."""
    job = start("\n        ".join(lines))
    assert job.stdout and job.stdout.readline() == f"{said}\n"
    return job


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_told_at_once_and_ends_the_job_cleanly(number: int, code: int) -> None:
    job = start("time.sleep(600)")
    job.send_signal(number)
    assert job.communicate() == ("cleaned up\n", STOPPING) and job.returncode == code


@pytest.mark.parametrize("error", ["RuntimeError", "errors.UserError", "errors.WorkerDiedError"])
def test_what_fails_because_of_it_is_not_shown(error: str) -> None:
    last = f"from p2i_ray import errors; raise {error}('the engine is gone')"
    job = start("time.sleep(600)", last=last)
    job.send_signal(signal.SIGINT)
    assert job.communicate() == ("", STOPPING) and job.returncode == 130


def test_a_second_one_ends_the_job_on_the_spot() -> None:
    job = start("time.sleep(600)", last="print('cleaning up', flush=True); time.sleep(600); print('late')")
    job.send_signal(signal.SIGINT)
    assert job.stdout and job.stdout.readline() == "cleaning up\n"
    job.send_signal(signal.SIGINT)
    assert job.communicate() == ("", STOPPING) and job.returncode == 130


def test_a_clean_up_that_hangs_is_left() -> None:
    job = start("time.sleep(600)", last="time.sleep(600)")
    job.send_signal(signal.SIGINT)
    assert job.communicate(timeout=60) == ("", STOPPING) and job.returncode == 130


def test_a_thread_that_asks_for_the_end_says_why_itself() -> None:
    begin = "threading.Thread(target=interrupts.request, args=['stopping: somebody else goes on']).start()"
    # Not at once: communicate doesn't see what came with the line that start has read.
    job = start(f"sys.stdin.readline(); {begin}; time.sleep(600)")
    assert job.communicate("go\n") == ("cleaned up\n", "\nstopping: somebody else goes on\n") and job.returncode == 2


def test_a_pipe_that_nobody_reads_ends_a_job_without_a_word() -> None:
    job = start("while True: print('line', flush=True)", last="pass")
    assert job.stdout and job.stderr
    job.stdout.close()
    assert job.stderr.read() == "" and job.wait() == 141
    job.stderr.close()


def test_a_short_output_that_nobody_reads() -> None:
    """It is in the buffer until the end."""
    job = start("sys.stdin.read()", last="print('short')")
    assert job.stdin and job.stdout and job.stderr
    job.stdout.close()
    job.stdin.close()
    assert job.stderr.read() == "" and job.wait() == 141
    job.stderr.close()


def test_a_signal_after_the_job_ends_the_process_on_the_spot() -> None:
    """Else it would hit what libraries do at the interpreter's end."""
    job = start("pass")
    assert job.stdout and [job.stdout.readline() for _ in range(2)] == ["cleaned up\n", "over\n"]
    job.send_signal(signal.SIGINT)
    assert job.communicate() == ("", "") and job.returncode == 130


def test_a_caller_that_goes_on_has_its_own_handlers_back() -> None:
    mine = [signal.getsignal(number) for number in interrupts.SIGNALS]
    with interrupts.handled(embedded=True):
        ours = [signal.getsignal(number) for number in interrupts.SIGNALS]
        with interrupts.kept():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as Ray's start does
        assert [signal.getsignal(number) for number in interrupts.SIGNALS] == ours != mine
    assert [signal.getsignal(number) for number in interrupts.SIGNALS] == mine


def test_a_signal_that_comes_while_ray_starts() -> None:
    """Ray's own handler is in its place then."""
    job = start_lines(
        "import signal",
        "with interrupts.kept():",
        "    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))",
        "    print('starts', flush=True)",
        "    time.sleep(600)",
        said="starts",
    )
    job.send_signal(signal.SIGTERM)
    assert job.communicate() == ("cleaned up\n", STOPPING) and job.returncode == 143


@pytest.mark.heavy
def test_threads_that_use_ray_meanwhile_change_nothing() -> None:
    """Else they would start a second cluster, or end the process with exit code 1, and leave some of the first."""
    job = start_lines(
        "import concurrent.futures, ray",
        "from p2i_ray.cluster import connection",
        "connection.connect(job.ray)",
        "def work():",
        "    while ray.is_initialized():",
        "        ray.get([ray.put(number) for number in range(20)])",
        "ask = concurrent.futures.ThreadPoolExecutor(2).submit",
        "done = [ask(work), ask(work)]",
        "print('works', flush=True)",
        "time.sleep(600)",
        said="works",
    )
    cluster = psutil.Process(job.pid).children(recursive=True)
    job.send_signal(signal.SIGINT)
    assert job.communicate() == ("cleaned up\n", STOPPING) and job.returncode == 130
    assert len(cluster) > 3 and not any(map(ray_processes.stays, cluster))


def test_help_that_nobody_reads() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    job = subprocess.run([sys.executable, "jobs/idr.py", "--help"], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert job.stderr == b""


def test_a_connection_that_breaks_is_not_taken_for_it() -> None:
    job = start("raise BrokenPipeError(32, 'the bucket hung up')")
    assert "BrokenPipeError: [Errno 32] the bucket hung up" in job.communicate()[1] and job.returncode == 1
