"""Runs as jobs of a cluster: by Ray's SDK and its command line, from a folder and from a zip, stopped, side by side."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from tests.support.ports import free_port

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).with_name("ray"))
DEADLINE_S = 900
SHORT = [
    "idr.rounds=1",
    "idr.steps=[4]",
    "train.batch_size=8",
    "train.checkpointing_steps=2",
    "generate.num_inference_steps=2",
    "generate.num_workers=1",
    "train.num_workers=1",
    "idr.inspect=0",
    "calibration.rows=0",
    "idr.baseline=false",
]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def head() -> Iterator[str]:
    """A head as the README starts it, on ports of its own; the address of its jobs. It and its clients have a token."""
    names = ("port", "dashboard-port", "dashboard-agent-listen-port", "ray-client-server-port", "metrics-export-port")
    ports = {name: free_port() for name in names}
    before = dict(os.environ)
    os.environ.pop("RAY_ADDRESS", None)
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    # Jobs find their cluster by the newest one in the folder of its files, so it has a folder of its own.
    folder = tempfile.mkdtemp(prefix="ray-")
    flags = [f"--temp-dir={folder}", *(f"--{name}={port}" for name, port in ports.items())]
    command = [RAY, "start", "--head", "--block", "--num-cpus=4", "--object-store-memory=400000000", *flags]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{ports['dashboard-port']}"
    os.environ["RAY_ADDRESS"] = address
    try:
        until(lambda: answers(ports["dashboard-port"]), "the head answers")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.clear()
        os.environ.update(before)


def answers(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def client(head: str) -> JobSubmissionClient:
    from ray.job_submission import JobSubmissionClient

    return JobSubmissionClient(head)


def until(holds: object, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.2)  # polling, with a deadline


def entrypoint(run_dir: Path, data: str, *settings: str) -> str:
    return " ".join(
        ["python", "jobs/idr.py", "--config", "mini", f"run_dir={run_dir}", f"data={data}", *SHORT, *settings]
    )


def ended(client: JobSubmissionClient, job: str) -> str:
    until(lambda: client.get_job_status(job).is_terminal(), f"{job} ends")
    return str(client.get_job_status(job).value)


def result(run_dir: Path) -> dict[str, object]:
    """What must be the same: kept ids and every weight, bit for bit."""
    weights = sorted((run_dir / "model").rglob("*.safetensors"))
    return {
        "kept": pq.read_table(run_dir / "round-1" / "kept.parquet")["id"].to_pylist(),
        "weights": {str(w.relative_to(run_dir)): hashlib.sha256(w.read_bytes()).hexdigest() for w in weights},
    }


def zipped(target: Path) -> str:
    """The project as a zip, with nothing but what a job needs."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder in ("p2i_ray", "jobs"):
            for file in sorted((ROOT / folder).rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    archive.write(file, file.relative_to(ROOT))
    return str(target)


def test_runs_side_by_side_from_a_zip_and_from_a_folder_are_the_same_run(
    client: JobSubmissionClient, mini_data: str, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    archive = zipped(tmp_path / "project.zip")
    first = client.submit_job(entrypoint=entrypoint(one, mini_data), runtime_env={"working_dir": archive})
    # The command line waits, shows the log, and says in its exit code how the job ended.
    line = [RAY, "job", "submit", "--working-dir", str(ROOT), "--", *entrypoint(two, mini_data).split()]
    second = subprocess.run(line, capture_output=True, text=True, timeout=DEADLINE_S)
    assert second.returncode == 0, second.stdout[-2000:]
    assert ended(client, first) == "SUCCEEDED", client.get_job_logs(first)[-2000:]
    assert result(one) == result(two)
    for log in (second.stdout, client.get_job_logs(first)):
        assert "round 1/1 · score" in log and "round 1/1 · train" in log


def test_a_stopped_run_is_continued_by_the_same_command(
    client: JobSubmissionClient, mini_data: str, tmp_path: Path
) -> None:
    stopped = tmp_path / "stopped"
    environment = {"working_dir": zipped(tmp_path / "project.zip")}
    for moment in ("round-1/steps/select.json", "round-1/train"):
        job = client.submit_job(entrypoint=entrypoint(stopped, mini_data), runtime_env=environment)
        there = stopped / moment
        until(lambda job=job, there=there: there.exists() or client.get_job_status(job).is_terminal(), moment)
        assert there.exists(), client.get_job_logs(job)[-2000:]
        assert client.stop_job(job) and ended(client, job) == "STOPPED"
    assert json.loads((stopped / "run.json").read_text())["status"] != "done"
    kept = (stopped / "round-1" / "steps" / "select.json").stat().st_mtime
    job = client.submit_job(entrypoint=entrypoint(stopped, mini_data), runtime_env=environment)
    assert ended(client, job) == "SUCCEEDED", client.get_job_logs(job)[-2000:]
    assert (stopped / "round-1" / "steps" / "select.json").stat().st_mtime == kept  # finished steps stay
    calm = tmp_path / "calm"
    job = client.submit_job(entrypoint=entrypoint(calm, mini_data, "idr.overlap=false"), runtime_env=environment)
    assert ended(client, job) == "SUCCEEDED"
    assert result(stopped) == result(calm)


def test_a_wrong_setting_ends_the_job_with_one_line(client: JobSubmissionClient, tmp_path: Path) -> None:
    environment = {"working_dir": zipped(tmp_path / "project.zip")}
    job = client.submit_job(entrypoint="python jobs/idr.py --config mini idr.gama=3", runtime_env=environment)
    assert ended(client, job) == "FAILED"
    assert client.get_job_info(job).driver_exit_code == 2
    assert client.get_job_logs(job).strip().splitlines()[-1].startswith("error: unknown setting 'idr.gama'")
    line = [RAY, "job", "submit", "--", "python", "-c", "raise SystemExit(2)"]
    assert subprocess.run(line, capture_output=True, timeout=DEADLINE_S).returncode == 1  # Ray's own
