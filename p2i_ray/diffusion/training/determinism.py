"""Let a training on GPUs give the same bits every time.

On a CPU it does so by itself. On a GPU the kernels that torch prefers for attention's backward pass add up in whatever
order their threads end, so two trainings from one seed part at the first step.
"""

from __future__ import annotations

import os

import torch

from p2i_ray.config import TrainConfig

WORKSPACE = ":4096:8"  # with a workspace that cuBLAS may share out anew, its sums are in no fixed order


def apply(settings: TrainConfig) -> None:
    """Set this process's torch, before it uses a GPU, to deterministic algorithms where the settings want them."""
    if not (settings.num_gpus and settings.deterministic):
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", WORKSPACE)
    torch.use_deterministic_algorithms(True)
    # Otherwise it also fills what nobody reads; torch's types leave it out.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False  # it would choose kernels by their time


def explain(error: RuntimeError) -> str | None:
    """The line for torch's refusal of an operation that has no deterministic algorithm; none for other errors."""
    if "use_deterministic_algorithms" not in str(error):
        return None
    operation = str(error).split(" does not have")[0]
    return (
        f"{operation} has no deterministic algorithm on this GPU; set train.deterministic=false, and two trainings "
        "from one seed will differ a little"
    )
