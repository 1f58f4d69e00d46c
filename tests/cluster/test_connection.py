"""Joining a cluster, or starting one on this machine."""

from __future__ import annotations

import subprocess
import sys

KILLED = """
import psutil, ray
from p2i_ray.cluster import connection
from p2i_ray.config import Config
from p2i_ray.console.cli import main

def run(job):
    connection.connect(job.ray)
    assert connection.raylet_line() is None
    for one in psutil.Process().children(recursive=True):
        if one.name() == "raylet":
            one.kill()
            one.wait()
    raise RuntimeError("whatever Ray says then")

main(Config, "doc", run)
"""


def test_a_raylet_that_was_killed_is_the_cause_that_a_job_names() -> None:
    command = [sys.executable, "-c", KILLED, "--config", "mini"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    line = [one for one in ended.stderr.splitlines() if one.startswith("error: ")]
    assert ended.returncode == 1, ended.stderr
    assert len(line) == 1 and "its raylet was killed" in line[0] and "whatever" not in ended.stderr
