"""`python jobs/status.py RUN_DIR`, as a user runs it beside a driver that works, ends, fails or is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from p2i_ray.config import Config, load
from p2i_ray.errors import UserError
from p2i_ray.run.attempt_record import CurrentStep
from p2i_ray.run.folder import Counts, Run
from p2i_ray.run.step_table import SELECT, TRAIN
from tests.support.load_job import load_job

ROOT = Path(__file__).parents[2]
DRIVER = """
import sys, time
from p2i_ray.config import Config, load
from p2i_ray.run.folder import Counts, Run
from p2i_ray.run.lease import FILE, held
from p2i_ray.run.step_table import GENERATE, SCORE
run = Run.open(sys.argv[1], load(Config, "mini"))
def work(out):
    with run.attempt.working(120) as progress:
        progress(20); time.sleep(0.5); progress(20)
        time.sleep(600)
with held(f"{run.dir}/{FILE}"), run.attempt:
    run.once(0, GENERATE, lambda _: Counts(rows_in=16, rows_out=15, set_aside=1))
    run.once(1, SCORE, work)
"""


def status(run_dir: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "jobs/status.py", str(run_dir), *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_run_while_it_works_and_after_kill_9(tmp_path: Path) -> None:
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path / "run")], cwd=ROOT)
    try:
        deadline = time.monotonic() + 300
        while not (done := status(tmp_path / "run")).stdout.count("40 of 120 rows"):
            assert time.monotonic() < deadline, done
            time.sleep(0.5)
        assert done.returncode == 0 and done.stdout.startswith("running   ")
        assert "round 1/3 · score, " in done.stdout and " rows/s, about " in done.stdout
        assert f"process {driver.pid}" in done.stdout and ", seen " in done.stdout
        found = json.loads(status(tmp_path / "run", "--json").stdout)
        assert found["status"] == "running" and found["rounds"][0]["set_aside"] == 1
        assert (found["now"]["step"], found["now"]["done"], found["now"]["total"]) == ("score", 40, 120)
    finally:
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    done = status(tmp_path / "run")
    assert done.returncode == 1 and done.stdout.startswith("lost      ")
    assert "its driver's process is gone: it was killed" in done.stdout
    assert "the command that began the run goes on with it" in done.stdout


def test_a_run_that_is_done_and_one_that_was_stopped(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    run = Run.open(str(tmp_path / "done"), load(Config, "mini"))
    with run.attempt:
        run.once(1, SELECT, lambda _: Counts(rows_in=8, rows_out=2))
        run.publish(str(tmp_path / "model"))
    (tmp_path / "done" / "report.html").write_text("")
    done = status(tmp_path / "done")
    assert done.returncode == 0 and done.stdout.startswith(f"done      {tmp_path}/done\n")
    assert f"report    {tmp_path}/done/report.html" in done.stdout and "tracking" not in done.stdout

    def fail(_: str) -> Counts:
        raise UserError("no rows are left")

    run = Run.open(str(tmp_path / "stopped"), load(Config, "mini"))
    with pytest.raises(UserError), run.attempt:
        run.once(2, TRAIN, fail)
    done = status(tmp_path / "stopped")
    assert done.returncode == 1
    assert done.stdout.startswith(f"stopped   {tmp_path}/stopped: round 2/3 · train: no rows are left\n")


def test_no_run_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = status(tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"error: {tmp_path} holds no run (config.yaml is not there); check the path\n"


def test_the_step_says_what_is_known_of_it() -> None:
    step = load_job("status").step
    began = 1000.0
    at = CurrentStep(round=2, step="train", began=began, done=60, total=1200, unit="steps", rate=2.0)
    known = "round 2/3 · train, 1 min 30 s so far, 60 of 1,200 steps, 2 steps/s, about 9 min 30 s left"
    assert step(at, began + 90, 3) == known
    at = CurrentStep(round=0, step="measure", began=began)
    assert step(at, began + 90, 3) == "round 0/3 · measure, 1 min 30 s so far"
