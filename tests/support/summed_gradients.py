"""The sum of bf16 gradients over micro-batches and workers, by DeepSpeed and by hand; see training/test_engine."""

from __future__ import annotations

import torch
import torch.distributed as dist

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.diffusion.step import Batch, Product2Img
from p2i_ray.diffusion.training import engine
from p2i_ray.planning import full_size
from tests.support.make_batch import NAMES, make_batch, make_model

STAGES = (1, 2, 3)
MICRO_BATCHES = 4  # of one row each
# The gradients that are the same bits in every stage: ZeRO-3's hooks change the order in which autograd adds up others.
COMPARED = ("unet.up_blocks", "unet.conv_out")

Gradients = dict[str, torch.Tensor]


def sums(diffusion: DiffusionConfig) -> list[tuple[int, Gradients, Gradients, Gradients]]:
    """For each stage: DeepSpeed's sum, the float32 one and the bf16 one; every worker calls it."""
    # by_hand comes after: ZeRO-3 leaves a linear layer of its own in torch, whose last bits differ.
    return [(stage, by_deepspeed(diffusion, stage), *by_hand(diffusion, stage)) for stage in STAGES]


def by_deepspeed(diffusion: DiffusionConfig, stage: int) -> Gradients:
    """The gradients that the optimizer is about to take, averaged over the workers."""
    from deepspeed.utils import safe_get_full_grad

    settings, model, micros, local = one_row_each(diffusion, stage)
    trainee = engine.start(model, settings, steps=2)
    for micro in micros:
        last = micro is micros[-1]
        trainee.backward(trainee(micro, local if last else None, MICRO_BATCHES).total)
        if not last:
            trainee.step()
    return {name: safe_get_full_grad(p) for name, p in engine.learning(trainee).items() if name.startswith(COMPARED)}


def by_hand(diffusion: DiffusionConfig, stage: int) -> tuple[Gradients, Gradients]:
    """The bf16 gradients of all micro-batches and workers, added up in float32 and in bf16."""
    _, model, micros, local = one_row_each(diffusion, stage)
    full_size.cast_parameters(model, torch.bfloat16)
    exact: Gradients = {}
    rounded: Gradients = {}
    for micro in micros:
        losses = model(micro, local if micro is micros[-1] else None, MICRO_BATCHES)
        torch.autograd.backward(losses.total / MICRO_BATCHES)
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and name.startswith(COMPARED):
                gradient = parameter.grad / dist.get_world_size()  # exact: it is two
                exact[name] = exact.get(name, 0) + gradient.float()
                rounded[name] = rounded.get(name, 0) + gradient
            parameter.grad = None
    for value in (*exact.values(), *rounded.values()):
        dist.all_reduce(value)
    return exact, rounded


def one_row_each(diffusion: DiffusionConfig, stage: int) -> tuple[TrainConfig, Product2Img, list[Batch], Batch]:
    """The settings, a model, this worker's micro-batches and all of its rows."""
    world = dist.get_world_size()
    settings = TrainConfig(
        batch_size=world * MICRO_BATCHES,
        gradient_accumulation_steps=MICRO_BATCHES,
        num_workers=world,
        num_gpus=0,
        zero_stage=stage,
        mixed_precision="bf16",
    )
    parts, model = make_model(diffusion, **settings.model_dump())
    mine = range(dist.get_rank() * MICRO_BATCHES, (dist.get_rank() + 1) * MICRO_BATCHES)
    local = make_batch(parts, mine, names=NAMES * (len(mine) * world // len(NAMES)))
    return settings, model, list(local.micro_batches(MICRO_BATCHES)), local
