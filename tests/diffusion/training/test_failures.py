"""Trainings that fail for want of memory: the line."""

from __future__ import annotations

from p2i_ray.config import TrainConfig
from p2i_ray.diffusion.training import failures


def test_a_worker_without_memory_is_a_line_with_what_lowers_its_need() -> None:
    found = failures.memory_line(
        RuntimeError("torch.OutOfMemoryError: CUDA out of memory."), TrainConfig(num_workers=2, num_gpus=0)
    )
    assert found == (
        "a training worker ran out of memory (torch.OutOfMemoryError: CUDA out of memory.); raise "
        "train.gradient_accumulation_steps=1, set train.gradient_checkpointing=true or raise train.num_workers=2"
    )
    assert failures.memory_line(RuntimeError("a worker died"), TrainConfig(num_workers=2, num_gpus=0)) is None
