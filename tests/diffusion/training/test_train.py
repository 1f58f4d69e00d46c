"""Training on Ray Train and DeepSpeed: the number of workers and a killed one change nothing but the time."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from make_features import make_features
from safetensors.torch import load_file

from p2i_ray.config import PainterConfig, TrainConfig
from p2i_ray.diffusion.training import train as training
from p2i_ray.errors import UserError

SETTINGS = TrainConfig(
    batch_size=8,
    workers=2,
    num_gpus=0,
    num_cpus=0.5,
    zero_stage=1,
    dtype="fp32",
    lr_unet=1e-3,
    lr_text=1e-3,
    max_failures=0,
)


@pytest.fixture(scope="module")
def features(tiny_painter: PainterConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    out = tmp_path_factory.mktemp("features") / "rows"
    return str(out), make_features(out, tiny_painter, count=20, resolution=16)


def train(
    features: tuple[str, list[str]], painter: PainterConfig, out: Path, steps: int, **changes: Any
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Train; the steps of training.json and the UNet's weights."""
    seen: list[int] = []
    settings = SETTINGS.model_copy(update=changes)
    result = training.train(
        *features, None, painter.base, painter, settings, steps, 0, str(out), str(out) + "-work", seen.append
    )
    assert result["steps"] == steps == sum(seen) and result["rows"] == 20
    recorded = json.loads((out / "training.json").read_text())["steps"]
    assert result["loss"] == recorded[-1]["total"]
    return recorded, load_file(out / "unet" / "diffusion_pytorch_model.safetensors")


def test_two_workers_train_as_one_does(
    ray_cluster: None, features: tuple[str, list[str]], tiny_painter: PainterConfig, tmp_path: Path
) -> None:
    two, weights_two = train(features, tiny_painter, tmp_path / "two", steps=4, zero_stage=2, accumulation=2)
    one, weights_one = train(features, tiny_painter, tmp_path / "one", steps=4, workers=1)
    assert [step["step"] for step in two] == [1, 2, 3, 4]
    assert two[0]["lr"] == pytest.approx(1e-3) and two[3]["lr"] < 2e-4
    for left, right in zip(two, one, strict=True):
        assert left == pytest.approx(right, rel=1e-4)
    for name, value in weights_one.items():
        torch.testing.assert_close(weights_two[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("max_failures", [1, 0], ids=["worker replaced", "same call again"])
def test_a_killed_worker_changes_nothing(
    ray_cluster: None,
    features: tuple[str, list[str]],
    tiny_painter: PainterConfig,
    tmp_path: Path,
    max_failures: int,
) -> None:
    steps, out = 60, tmp_path / "disturbed"
    expected, weights = train(features, tiny_painter, tmp_path / "calm", steps)
    killed = threading.Event()
    threading.Thread(target=kill_worker_after_checkpoint, args=(Path(f"{out}-work"), killed), daemon=True).start()
    again = {"checkpoint_every": 10, "max_failures": max_failures}
    if max_failures == 0:
        with pytest.raises(Exception, match=r"worker|Worker"):
            train(features, tiny_painter, out, steps, **again)
        assert not out.exists()
    disturbed, disturbed_weights = train(features, tiny_painter, out, steps, **again)
    assert killed.is_set()
    assert disturbed == expected
    for name, value in weights.items():
        assert torch.equal(disturbed_weights[name], value), name


def kill_worker_after_checkpoint(work: Path, killed: threading.Event) -> None:
    """Kill one of this process's training workers as soon as a checkpoint is complete."""
    while not list(work.glob("train/checkpoint_manager_snapshot.json")):
        killed.wait(0.05)
    workers = [p for p in psutil.Process().children(recursive=True) if "RayTrainWorker" in " ".join(p.cmdline())]
    workers[0].kill()
    killed.set()


def test_too_few_rows_are_named_with_the_batch() -> None:
    with pytest.raises(UserError, match=r"7 rows are left to train on, fewer than train.batch_size=8"):
        training.check(SETTINGS, 7)


def test_a_batch_that_workers_cannot_share() -> None:
    with pytest.raises(
        UserError, match=r"train.batch_size=8 can't be shared by train.workers=3 x train.accumulation=1"
    ):
        training.check(SETTINGS.model_copy(update={"workers": 3}), 100)


def test_rows_whose_loss_is_no_number_are_named(ray_cluster: None, tiny_painter: PainterConfig, tmp_path: Path) -> None:
    import numpy as np
    import pyarrow.parquet as pq

    out = tmp_path / "rows"
    files = make_features(out, tiny_painter, count=8, resolution=16)
    table = pq.read_table(out / files[1])
    column = table["image_moments"].to_pylist()
    column[2] = np.full(8 * 8 * 8, np.nan, "<f2").tobytes()
    index = table.column_names.index("image_moments")
    pq.write_table(table.set_column(index, table.schema.field(index), [column]), out / files[1])
    with pytest.raises(UserError, match=r"stops at step 1: the loss of Eq. 3 is not finite for row-002;"):
        train((str(out), files), tiny_painter, tmp_path / "model", steps=2, workers=1)
    assert not (tmp_path / "model").exists()
