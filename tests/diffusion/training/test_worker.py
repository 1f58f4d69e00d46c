"""One training process by itself: every ZeRO stage and precision takes the same steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from make_batch import make_batch, make_model

from p2i_ray.config import PainterConfig, TrainConfig
from p2i_ray.diffusion.training import worker


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A process group of one; DeepSpeed keeps the first that it sees."""
    store: Path = tmp_path_factory.mktemp("group") / "store"
    address = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in address.items():
            environment.setenv(name, value)
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
        yield
        dist.destroy_process_group()


def three_steps(
    painter: PainterConfig, stage: int, dtype: str, checkpointing: bool = False
) -> tuple[list[worker.StepRecord], dict[str, torch.Tensor]]:
    parts, model = make_model(painter)
    if checkpointing:
        worker.recompute_activations(parts)
    settings = TrainConfig(
        batch_size=4, workers=1, num_gpus=0, zero_stage=stage, dtype=dtype, lr_unet=1e-3, lr_text=1e-3, warmup_share=0
    )
    engine = worker._engine(model, settings, steps=4)
    batch = make_batch(parts, range(4))
    curve = [worker._step(engine, batch, step, list("abcd"), settings) for step in range(3)]
    return curve, worker._gather(engine)


def test_stages_and_precisions_agree(alone: None, tiny_painter: PainterConfig) -> None:
    expected, weights = three_steps(tiny_painter, 1, "fp32")
    assert expected[2].total < expected[0].total
    assert expected[0].lr == pytest.approx(1e-3) and expected[2].lr < 1e-3
    for stage, dtype, tolerance in (
        (0, "fp32", 1e-4),
        (2, "fp32", 1e-4),
        (0, "bf16", 0.15),
        (1, "bf16", 0.15),
        (2, "bf16", 0.15),
    ):
        curve, other = three_steps(tiny_painter, stage, dtype)
        for left, right in zip(curve, expected, strict=True):
            assert (left.total, left.grad_norm) == pytest.approx((right.total, right.grad_norm), rel=tolerance * 2)
        assert other.keys() == weights.keys()
        for name, value in weights.items():
            assert other[name].dtype == torch.float32
            torch.testing.assert_close(other[name], value, rtol=0, atol=1e-4 if dtype == "fp32" else 1e-2)


def test_recomputing_activations_changes_nothing(alone: None, tiny_painter: PainterConfig) -> None:
    plain, _ = three_steps(tiny_painter, 1, "fp32")
    recomputed, _ = three_steps(tiny_painter, 1, "fp32", checkpointing=True)
    for left, right in zip(recomputed, plain, strict=True):
        assert left == pytest.approx(right, rel=1e-4)
