"""Nodes come for the steps that need them and go when nobody does, on Ray's stand-in for a cloud."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import autoscaling, growing

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _without_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")


@pytest.mark.slow
def test_nodes_come_for_the_steps_and_go(tmp_path: Path, mini_data: str) -> None:
    seen = autoscaling.observe_run(tmp_path, mini_data)
    assert seen.workers[0] == 0 and max(seen.workers) == 2 and seen.workers[-1] == 0
    steps = {step.name.split()[0] for step in seen.steps}
    assert {"generate", "measure", "score", "select", "encode", "train", "critique", "feedback"} <= steps
    counts = list(zip(seen.at, seen.workers, strict=True))
    (train,) = (step for step in seen.steps if step.name == "train 1")
    assert max(count for at, count in counts if train.start <= at <= train.end) == 2
    (score,) = (step for step in seen.steps if step.name == "score 1")
    assert all(count for at, count in counts if score.start <= at <= score.end)  # never without the judge's node


@pytest.mark.slow
def test_more_than_the_cluster_may_grow_to_is_told_at_once(tmp_path: Path, mini_data: str) -> None:
    with growing.cluster(tmp_path, 1, autoscaling.WORKER, 2) as address:
        monitor = autoscaling.NodeMonitor(address)
        settings = [f"ray.address={address}", f"run_dir={tmp_path}/run", f"data={mini_data}", *autoscaling.ON_A100]
        settings += ["train.num_workers=3", "train.batch_size=9"]
        done = subprocess.run(
            [sys.executable, "jobs/idr.py", "--config", "mini", *settings],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        monitor.stop()
    assert done.returncode == 2, done.stderr
    assert done.stderr.strip().splitlines()[-1] == (
        "error: train needs 3 x (CPU: 2, accelerator A100), and the cluster has no room for 3 x (CPU: 2, accelerator "
        "A100): it has 1 node with CPU: 1 and can't grow to it; lower train.num_workers, train.min_workers, "
        "train.num_gpus, train.num_cpus or train.accelerator_type, or add nodes"
    )
    assert max(monitor.workers) == 0  # nobody pays for nodes of a run that can't be
