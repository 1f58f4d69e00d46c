"""One of several processes that share a global batch of four rows; see test_step."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist

from p2i_ray.config import DiffusionConfig
from tests.support.make_batch import make_batch, make_model

Result = dict[str, torch.Tensor]


def work(rank: int, world: int, diffusion: DiffusionConfig, out: Path) -> None:
    """Join the others over gloo and do one step, at once and in two micro-batches; rank 0 saves both results."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out}.store", rank=rank, world_size=world)
    results = [step(diffusion, rank, world, micro_batches) for micro_batches in (1, 2)]
    if rank == 0:
        torch.save(results, out)
    dist.destroy_process_group()


def step(diffusion: DiffusionConfig, rank: int = 0, world: int = 1, micro_batches: int = 1) -> Result:
    """Losses and gradients, averaged over workers as DeepSpeed does, of one step over the global batch."""
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
