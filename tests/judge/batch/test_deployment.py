"""The engines' application: what its end leaves behind."""

from __future__ import annotations

import psutil

from p2i_ray.config import PRESETS, ImageConfig, JudgeConfig
from p2i_ray.judge.batch.deployment import EngineDeployment
from tests.support import ray_processes
from tests.support.stub_engine import StubEngine


def test_the_process_that_watches_the_driver_ends_with_the_application(ray_cluster: None) -> None:
    settings = JudgeConfig(model=str(PRESETS.parent / "mini" / "weights" / "judge"), num_gpus=0, num_cpus=0.1)
    before = ray_processes.titled("_Owner")  # of the session's judge
    deployment = EngineDeployment(settings, ImageConfig(), 0, StubEngine)
    started = ray_processes.wait_for("_Owner", besides=before)
    deployment.stop()
    _, alive = psutil.wait_procs(started, timeout=60)
    assert not alive
