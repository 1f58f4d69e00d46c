"""Deterministic algorithms: set for GPUs alone, and torch's refusal said in a line."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from p2i_ray.config import TrainConfig
from p2i_ray.diffusion.training import determinism


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    fill, variables = torch.utils.deterministic.fill_uninitialized_memory, dict(os.environ)
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = fill
    os.environ.clear()
    os.environ.update(variables)


@pytest.mark.parametrize(("gpus", "wanted", "set_"), [(1, True, True), (1, False, False), (0, True, False)])
def test_it_is_for_gpus_where_it_is_wanted(gpus: float, wanted: bool, set_: bool) -> None:
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
    determinism.apply(TrainConfig(num_gpus=gpus, deterministic=wanted))
    assert torch.are_deterministic_algorithms_enabled() == set_
    assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) == set_


def test_an_operation_without_a_deterministic_algorithm_is_named() -> None:
    determinism.apply(TrainConfig(num_gpus=1))
    with pytest.raises(RuntimeError) as refused:
        torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2))  # one of the few on a CPU
    line = determinism.explain(refused.value) or ""
    assert "put_" in line and "train.deterministic=false" in line and "\n" not in line


def test_other_errors_are_left_alone() -> None:
    assert determinism.explain(RuntimeError("CUDA out of memory")) is None
