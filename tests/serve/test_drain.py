"""Ctrl-C during `serve run`: requests in flight are finished before Serve is stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from ray.serve.schema import ApplicationStatusOverview, DeploymentStatusOverview

from p2i_ray.serve import drain


@pytest.fixture
def interrupts() -> Iterator[None]:
    """The process's own handler is put back."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_interrupt_works_before_it_interrupts(interrupts: None) -> None:
    done: list[str] = []
    drain.before_interrupt(lambda: done.append("drained"))
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert done == ["drained"]
    with pytest.raises(KeyboardInterrupt):  # and the second doesn't
        signal.raise_signal(signal.SIGINT)
    assert done == ["drained"]


def test_a_second_interrupt_ends_the_waiting(interrupts: None) -> None:
    drain.before_interrupt(lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_before_ray_runs_starts_no_cluster() -> None:
    started = (
        "import ray; from p2i_ray.serve import drain; assert drain.drain() == [] and not ray.is_initialized(); print(1)"
    )
    assert subprocess.run([sys.executable, "-c", started], check=True, capture_output=True, text=True).stdout == "1\n"


@pytest.mark.parametrize(
    ("program", "expected"), [("/venv/bin/serve", True), ("default_worker.py", False), ("", False)]
)
def test_only_serves_own_command_is_changed(monkeypatch: pytest.MonkeyPatch, program: str, expected: bool) -> None:
    monkeypatch.setattr(sys, "argv", [program, "run"])
    assert drain.in_serves_command() is expected


def test_what_answers_is_drained_also_while_another_part_starts() -> None:
    def application(status: str, **running: int) -> ApplicationStatusOverview:
        deployments = {
            name: DeploymentStatusOverview(
                status="HEALTHY", status_trigger="UNSPECIFIED", replica_states={"RUNNING": count}, message=""
            )
            for name, count in running.items()
        }
        return ApplicationStatusOverview(status=status, message="", last_deployed_time_s=0.0, deployments=deployments)

    found = {
        "running": application("RUNNING", Front=1, Sampler=1, Judge=1),
        "judge starts": application("DEPLOYING", Front=1, Sampler=1, Judge=0),
        "sampler lost": application("UNHEALTHY", Front=2, Sampler=0),
        "lmm": application("RUNNING", LMMFront=1, Engine=1),
        "front starts": application("DEPLOYING", Front=0, Sampler=1),
        "goes": application("DELETING", Front=1, Sampler=1),
        "another's": application("RUNNING", Ingress=1),
    }
    assert drain.answering(found) == ["running", "judge starts", "sampler lost", "lmm"]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://127.0.0.1:8265", "give HOST:PORT"),  # as `ray job submit` has it in the same shell
        ("127.0.0.1:1", "head, or unset it for the cluster on this machine"),
    ],
)
def test_a_cluster_that_can_not_be_joined_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], address: str, said: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(SystemExit) as ended:
        drain.main()
    error = capsys.readouterr().err
    assert ended.value.code == 2 and said in error and error.count("RAY_ADDRESS=") == 1 and error.count("\n") == 1
