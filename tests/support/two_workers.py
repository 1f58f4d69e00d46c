"""One of several processes that share a global batch; see training/test_engine."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.distributed as dist

from p2i_ray.config import DiffusionConfig
from tests.support.make_batch import make_batch, make_model
from tests.support.summed_gradients import sums

Result = dict[str, torch.Tensor]


def work(rank: int, world: int, diffusion: DiffusionConfig, out: Path) -> None:
    """Join the others over gloo; rank 0 saves a step at once and in two micro-batches, and sums of bf16 gradients."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    dist.init_process_group("gloo", init_method=f"file://{out}.store", rank=rank, world_size=world)
    results = ([step(diffusion, rank, world, micro_batches) for micro_batches in (1, 2)], sums(diffusion))
    if rank == 0:
        torch.save(results, out)
    dist.destroy_process_group()


def step(diffusion: DiffusionConfig, rank: int = 0, world: int = 1, micro_batches: int = 1) -> Result:
    """Losses and gradients, averaged over workers as DeepSpeed does, of one step over a global batch of four rows."""
    parts, model = make_model(diffusion)
    size = 4 // world
    local = make_batch(parts, range(rank * size, (rank + 1) * size))
    micros = [local] if micro_batches == 1 else list(local.micro_batches(micro_batches))
    inpaint = []
    for micro in micros:
        contrast = (micro if len(micros) == 1 else local) if micro is micros[-1] else None
        losses = model(micro, contrast, micro_batches)
        (losses.total / micro_batches).backward()
        inpaint.append(losses.inpaint.detach())
    result = {name: p.grad.clone() for name, p in model.named_parameters()}
    result["loss inpaint"] = torch.cat(inpaint).mean()
    for value in result.values():
        if world > 1:
            dist.all_reduce(value)
            value /= world
    result["loss background"], result["loss name"] = losses.cl_background.detach(), losses.cl_name.detach()
    return result


def assert_same(got: Result, expected: Result) -> None:
    """Both are the same but for rounding."""
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-4, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")
