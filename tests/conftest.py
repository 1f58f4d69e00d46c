"""What tests share: one Ray cluster and one small data set a session."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from p2i_ray.lmm.judge import Judge

# Read by libraries at import, here and in every worker.
os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", RAY_TRAIN_HEALTH_CHECK_INTERVAL_S="0.2")
ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "p2i_ray" / "mini" / "weights"
STUBS = ROOT / "tests" / "lmm"  # what tests pass in is imported by workers, too
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), str(STUBS), os.environ.get("PYTHONPATH")]))
sys.path[:0] = [str(ROOT), str(STUBS)]


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One local cluster for all tests that need Ray."""
    import ray

    from p2i_ray import cluster
    from p2i_ray.config import RayConfig

    cluster.connect(RayConfig(local_cpus=4, object_store_mb=400))
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def mini_data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small EPBD of the toy world: 120 train, 16 validation, 16 test, 8 test_unseen rows."""
    from p2i_ray.mini.data import make

    folder = tmp_path_factory.mktemp("epbd")
    make(folder, train=120, validation=16, test=16, test_unseen=8)
    return str(folder)


@pytest.fixture(scope="session")
def judge(ray_cluster: None) -> Iterator[Judge]:
    """The mini preset's judge, its engine started once a session; don't stop it."""
    import yaml

    from p2i_ray.config import PRESETS, ImageConfig, JudgeConfig
    from p2i_ray.lmm.judge import Judge

    preset = yaml.safe_load((PRESETS / "mini.yaml").read_text("utf-8"))
    places = {"model": str(WEIGHTS / "judge"), "prompts": str(ROOT / "p2i_ray" / "mini" / "prompts")}
    with Judge(JudgeConfig(**{**preset["judge"], **places}), ImageConfig(**preset["image"]), seed=0) as judge:
        yield judge
