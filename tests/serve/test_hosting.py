"""What comes before a service is hosted, without a cluster."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
import ray

from jobs import serve, serve_lmm
from p2i_ray.cluster import connection
from p2i_ray.config import load
from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.errors import UserError

Run = Callable[[ServeJobConfig], None]
JOBS = pytest.mark.parametrize("run", [serve.run, serve_lmm.run], ids=["generator", "LMM"])


class ChosenError(Exception):
    """The cluster of the settings is joined, or a local one started."""


@pytest.fixture()
def settings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Settings with free ports; whatever would join a cluster or start one is seen."""

    def unasked(*_: Any, **__: Any) -> None:
        raise AssertionError("Ray joins a cluster that runs on this machine, or starts one with its own settings")

    def chosen(*_: Any) -> None:
        raise ChosenError

    monkeypatch.setattr(ray, "init", unasked)  # which most of Ray's functions call by themselves
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(connection, "connect", chosen)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return [f"serve.port={port}", f"serve.chat.port={port}"]


@JOBS
def test_no_cluster_is_joined_but_that_of_the_settings(run: Run, settings: list[str]) -> None:
    with pytest.raises(ChosenError):
        run(load(ServeJobConfig, "mini", settings))


@JOBS
def test_what_can_not_be_used_is_said_before(run: Run, settings: list[str]) -> None:
    missing = ["judge.model=/no/such/model", "serve.model=/no/such/model"]
    with pytest.raises(UserError, match="/no/such/model"):
        run(load(ServeJobConfig, "mini", [*settings, *missing]))
