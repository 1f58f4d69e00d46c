"""A RayJob's command: which exit codes end the job for good."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.test_ray_up import script


@pytest.fixture
def run_once() -> Any:
    return script("run_once")


@pytest.mark.parametrize(("code", "stopped"), [(0, 0), (1, 0), (2, 1), (130, 0)])
def test_only_a_users_mistake_stops_the_job(run_once: Any, code: int, stopped: int) -> None:
    calls: list[None] = []
    assert run_once.run(["sh", "-c", f"exit {code}"], lambda: calls.append(None), stopping_s=0) == code
    assert len(calls) == stopped


def test_a_cluster_that_does_not_answer_leaves_the_exit_code(run_once: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def stop() -> None:
        raise ConnectionError("no answer")

    assert run_once.run(["sh", "-c", "exit 2"], stop, stopping_s=0) == 2
    assert "could not be stopped, so it will be started again: no answer" in capsys.readouterr().err
