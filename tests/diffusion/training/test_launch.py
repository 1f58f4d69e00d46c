"""Training on Ray Train and DeepSpeed: the number of workers and a killed one change nothing but the time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.diffusion.features.index import FeatureIndex
from p2i_ray.diffusion.training import launch as training
from p2i_ray.errors import UserError
from tests.support import ray_processes
from tests.support.make_features import make_features

SETTINGS = TrainConfig(
    batch_size=8,
    num_workers=2,
    num_gpus=0,
    num_cpus=0.5,
    zero_stage=1,
    mixed_precision="no",
    lr_unet=1e-3,
    lr_text=1e-3,
    max_failures=0,
)


@pytest.fixture(scope="module")
def features(tiny_painter: DiffusionConfig, tmp_path_factory: pytest.TempPathFactory) -> FeatureIndex:
    return make_features(tmp_path_factory.mktemp("features") / "rows", tiny_painter, count=20, resolution=16)


def train(
    features: FeatureIndex, diffusion: DiffusionConfig, out: Path, steps: int, **changes: Any
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Train; the steps of training.json and the UNet's weights."""
    seen: list[int] = []
    settings = SETTINGS.model_copy(update=changes)
    result = training.train(
        features,
        keep=None,
        base=diffusion.base,
        diffusion=diffusion,
        settings=settings,
        steps=steps,
        seed=0,
        out=str(out),
        work=f"{out}-work",
        tracking=f"{out}-tracking",
        progress=seen.append,
    )
    assert result["steps"] == steps == sum(seen) and result["rows"] == 20
    recorded = json.loads((out / "training.json").read_text())["steps"]
    assert result["loss"] == recorded[-1]["total"]
    return recorded, load_file(out / "unet" / "diffusion_pytorch_model.safetensors")


@pytest.mark.slow
def test_two_workers_train_as_one_does(
    ray_cluster: None, features: FeatureIndex, tiny_painter: DiffusionConfig, tmp_path: Path
) -> None:
    settings = {"ema_decay": 0.8}
    expected, weights = train(features, tiny_painter, tmp_path / "one", 12, num_workers=1, **settings)
    assert [step["step"] for step in expected] == list(range(1, 13))
    settings |= {"zero_stage": 2, "gradient_accumulation_steps": 2}
    found, found_weights = train(features, tiny_painter, tmp_path / "two", 12, **settings)
    for left, right in zip(found, expected, strict=True):
        assert left == pytest.approx(right, rel=1e-3)
    for name, value in weights.items():
        torch.testing.assert_close(found_weights[name], value, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_two_workers_and_one_after_they_were_killed_train_as_one_does(
    ray_cluster: None, features: FeatureIndex, tiny_painter: DiffusionConfig, tmp_path: Path, stage: int
) -> None:
    steps, out = 40, tmp_path / "disturbed"
    settings = {"checkpointing_steps": 5, "ema_decay": 0.8}
    expected, weights = train(features, tiny_painter, tmp_path / "calm", steps, num_workers=1, **settings)
    assert [step["step"] for step in expected] == list(range(1, steps + 1))
    assert max(step["lr"] for step in expected) == pytest.approx(1e-3) and expected[-1]["lr"] < 2e-4
    settings |= {"zero_stage": stage, "gradient_accumulation_steps": 2}
    with killing(Path(f"{out}-work")), pytest.raises(Exception, match=r"worker|Worker"):
        train(features, tiny_painter, out, steps, **settings)
    assert not out.exists()
    disturbed, disturbed_weights = train(features, tiny_painter, out, steps, num_workers=1, **settings)
    for left, right in zip(disturbed, expected, strict=True):
        assert left == pytest.approx(right, rel=1e-3)
    for left, right in zip(disturbed[:4], expected[:4], strict=True):  # by two workers, before the first checkpoint
        assert left == pytest.approx(right, rel=1e-4)
    for name, value in weights.items():
        torch.testing.assert_close(disturbed_weights[name], value, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("max_failures", [1, 0], ids=["worker replaced", "same call again"])
def test_a_killed_worker_changes_nothing(
    ray_cluster: None, features: FeatureIndex, tiny_painter: DiffusionConfig, tmp_path: Path, max_failures: int
) -> None:
    steps, out = 60, tmp_path / "disturbed"
    settings = {"checkpointing_steps": 10, "ema_decay": 0.8}
    expected, weights = train(features, tiny_painter, tmp_path / "calm", steps, **settings)
    with killing(Path(f"{out}-work")):
        if max_failures == 0:
            with pytest.raises(Exception, match=r"worker|Worker"):
                train(features, tiny_painter, out, steps, max_failures=0, **settings)
            assert not out.exists()
        disturbed, disturbed_weights = train(features, tiny_painter, out, steps, max_failures=max_failures, **settings)
    assert disturbed == expected
    for name, value in weights.items():
        assert torch.equal(disturbed_weights[name], value), name


@contextmanager
def killing(work: Path) -> Iterator[None]:
    """Within: one of this process's training workers is killed, as soon as a checkpoint is complete."""
    killed = threading.Event()
    thread = threading.Thread(target=kill_worker_after_checkpoint, args=(work, killed), daemon=True)
    thread.start()
    yield
    assert killed.is_set()
    thread.join()


def kill_worker_after_checkpoint(work: Path, killed: threading.Event) -> None:
    """Kill one of this process's training workers as soon as a checkpoint is complete."""
    while not list(work.glob("train/checkpoint_manager_snapshot.json")):
        killed.wait(0.05)
    workers = ray_processes.titled("RayTrainWorker")
    workers.pop().kill()
    killed.set()


@pytest.mark.slow
def test_a_lost_node_changes_nothing_but_the_time(
    tiny_painter: DiffusionConfig, features: FeatureIndex, tmp_path: Path
) -> None:
    program = Path(__file__).parents[2] / "support" / "lost_node.py"
    found = {}
    for what in ("calm", "replaced", "fewer"):
        out = tmp_path / what
        places = (str(out), features.index, features.shards, tiny_painter.base, tiny_painter.clip, what)
        done = subprocess.run([sys.executable, str(program), *places], capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stderr[-3000:]
        found[what] = json.loads((out / "training.json").read_text())["steps"]
    assert found["replaced"] == found["calm"]
    for left, right in zip(found["fewer"], found["calm"], strict=True):
        assert left == pytest.approx(right, rel=1e-3)


def test_a_missing_shard_is_named(ray_cluster: None, tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    features = make_features(tmp_path / "rows", tiny_painter, count=8, resolution=16)
    (Path(features.shards) / "part-1.parquet").unlink()
    with pytest.raises(UserError, match=r"^/\S+part-1.parquet is gone; it has the features of row-000.*missing$"):
        train(features, tiny_painter, tmp_path / "model", steps=2, num_workers=1)


def test_too_few_rows_are_named_with_the_batch() -> None:
    with pytest.raises(UserError, match=r"7 rows are left to train on, fewer than train.batch_size=8"):
        training.check_rows(SETTINGS, 7)


@pytest.mark.slow
def test_rows_whose_loss_is_no_number_are_named(
    ray_cluster: None, tiny_painter: DiffusionConfig, tmp_path: Path
) -> None:
    import numpy as np
    import pyarrow.parquet as pq

    out = tmp_path / "rows"
    features = make_features(out, tiny_painter, count=8, resolution=16)
    shard = out / "shards" / "part-1.parquet"
    table = pq.read_table(shard)
    column = table["image_moments"].to_pylist()
    column[2] = np.full(8 * 8 * 8, np.nan, "<f2").tobytes()
    index = table.column_names.index("image_moments")
    pq.write_table(table.set_column(index, table.schema.field(index), [column]), shard)
    with pytest.raises(UserError, match=r"stops at step 1: the loss of Eq. 3 is not finite for row-002;"):
        train(features, tiny_painter, tmp_path / "model", steps=2, num_workers=1)
    assert not (tmp_path / "model").exists()


def test_an_interrupted_training_ends_at_once_and_leaves_nothing_behind(
    ray_cluster: None, features: FeatureIndex, tiny_painter: DiffusionConfig, tmp_path: Path
) -> None:
    """Ray's own handler, which fit() sets for good, ended the process without a word, after the training, too."""
    before, main, seen = signal.getsignal(signal.SIGINT), threading.get_ident(), list[psutil.Process]()

    def interrupt() -> None:
        seen.extend(ray_processes.wait_for("TrainController"))
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt) as kept:  # keeps its traceback and so what the frames hold, as notebooks do
        training.train(
            features,
            keep=None,
            base=tiny_painter.base,
            diffusion=tiny_painter,
            settings=SETTINGS.model_copy(update={"num_workers": 1}),
            steps=100_000,
            seed=0,
            out=str(tmp_path / "model"),
            work=str(tmp_path / "work"),
            tracking=str(tmp_path / "tracking"),
        )
    assert signal.getsignal(signal.SIGINT) is before and not (tmp_path / "model").exists()
    _, alive = psutil.wait_procs(seen, timeout=60)
    assert seen and not alive and kept
