"""The model under DeepSpeed: what learns at which rate, how it is sharded, and its full-precision weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
import torch.distributed as dist
from diffusers.optimization import get_cosine_schedule_with_warmup
from torch import nn

from p2i_ray.config import TrainConfig
from p2i_ray.diffusion.training.job import TrainedModel

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine

# Elements, more than any weight of Stable Diffusion has. DeepSpeed's default is ten times that, and it copies them.
REDUCE_BUCKET = 50_000_000
DYNAMO = "TORCHDYNAMO_DISABLE"


def start(model: TrainedModel, settings: TrainConfig, steps: int, universal: bool = False) -> DeepSpeedEngine:
    """The model under DeepSpeed with AdamW, warm-up and cosine decay.

    Args:
        model: what learns.
        settings: of the training; micro-batches keep their size whatever the number of workers is.
        steps: of the whole training.
        universal: it will be loaded from a checkpoint that other workers wrote; see checkpoints.py.

    Returns:
        The engine. Its float32 weights are the model's as they were given, whatever the precision of a step.
    """
    if settings.num_gpus == 0:
        os.environ["DS_ACCELERATOR"] = "cpu"  # also on a machine that has GPUs; read at deepspeed's import
    import deepspeed

    if settings.num_gpus == 0:
        # Otherwise DeepSpeed compiles a shared-memory all-reduce (half a minute, needs a compiler); gloo does it too.
        deepspeed.ops.__compatible_ops__ = {}
    if settings.compile:
        model.denoiser.compile()
    optimizer = torch.optim.AdamW(
        model.groups(settings), weight_decay=settings.weight_decay, fused=settings.num_gpus > 0
    )
    schedule = get_cosine_schedule_with_warmup(optimizer, round(settings.warmup_ratio * steps), steps)
    given = {name: p.detach() for name, p in cast(nn.Module, model).named_parameters() if p.requires_grad}
    config = {
        "train_batch_size": settings.batch_size,
        "train_micro_batch_size_per_gpu": settings.batch_size // (dist.get_world_size() * accumulation(settings)),
        "gradient_accumulation_steps": accumulation(settings),
        "gradient_clipping": settings.max_grad_norm,
        "zero_optimization": {
            "stage": settings.zero_stage,
            "reduce_bucket_size": REDUCE_BUCKET,
            # Stage 1 reduces when all gradients are there: to gather them as they come would only copy them.
            "contiguous_gradients": settings.zero_stage != 1,
        },
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": settings.mixed_precision == "bf16", "immediate_grad_update": True},
        # Sums over micro-batches and over workers are float32: in bf16 they lose what is below 1/256 of them.
        "data_types": {"grad_accum_dtype": "fp32"},
        "communication_data_type": "fp32",
        "checkpoint": {"load_universal": universal},
        "steps_per_print": steps + 1,
    }
    with _compiler_left():
        engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, lr_scheduler=schedule, config=config)
    if settings.mixed_precision != "no":
        # DeepSpeed has cast the model first, and made its float32 weights of what was left of these.
        for name, parameter in learning(engine).items():
            set_full_weight(parameter, given[name])
    return engine


@contextmanager
def _compiler_left() -> Iterator[None]:
    """Leave torch's compiler unloaded, which takes a second.

    DeepSpeed asks whether the optimizer is its Muon, whose module compiles functions as it is loaded. What
    `train.compile` has compiled stays so.
    """
    before = os.environ.get(DYNAMO)
    os.environ[DYNAMO] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[DYNAMO]
        else:
            os.environ[DYNAMO] = before


def accumulation(settings: TrainConfig) -> int:
    """Micro-batches a step of each worker that is there now."""
    return settings.num_workers * settings.gradient_accumulation_steps // dist.get_world_size()


def learning_rates(engine: DeepSpeedEngine) -> dict[str, float]:
    """The newest rate of each group, by name."""
    names = [group["name"] for group in engine.optimizer.param_groups]
    return dict(zip(names, map(float, engine.get_lr()), strict=True))


@contextmanager
def own_groups(engine: DeepSpeedEngine) -> Iterator[None]:
    """Around loading a checkpoint: every group keeps its own settings, every part its own count of steps.

    DeepSpeed's loading of other workers' checkpoints gives all groups the first one's settings, and all parts one
    tensor to count their steps in, which then counts too fast.
    """
    groups = engine.optimizer.param_groups
    options = [{name: value for name, value in group.items() if name != "params"} for group in groups]
    yield
    rates = engine.lr_scheduler.get_last_lr()
    for group, own, rate in zip(engine.optimizer.param_groups, options, rates, strict=True):
        group.update({**own, "lr": rate})
    inner = getattr(engine.optimizer, "optimizer", engine.optimizer)  # ZeRO wraps the optimizer
    for state in inner.state.values():
        state["step"] = state["step"].clone()


def gradient_norm(engine: DeepSpeedEngine) -> float:
    """The L2 norm of the averaged gradients, where DeepSpeed's own optimizers don't measure it: without ZeRO.

    To be asked between the backward pass and the step.
    """
    if engine.zero_optimization_stage():
        return 0.0
    return float(torch.nn.utils.get_total_norm([p.grad for p in engine.module.parameters() if p.grad is not None]))


def masters(engine: DeepSpeedEngine) -> list[torch.Tensor]:
    """This worker's part of the float32 weights that learn, as the optimizer changes them in place."""
    stage, optimizer = engine.zero_optimization_stage(), engine.optimizer
    if stage == 3:
        return list(optimizer.fp32_partitioned_groups_flat)
    if stage:
        bf16 = hasattr(optimizer, "fp32_groups_flat_partition")  # the optimizer of stage 1 in bf16
        return list(optimizer.fp32_groups_flat_partition if bf16 else optimizer.single_partition_of_fp32_groups)
    return [p for group in optimizer.param_groups for p in group["params"]]


def full_weight(parameter: torch.nn.Parameter) -> torch.Tensor:
    """A parameter that learns, whole and in float32. All workers take part."""
    from deepspeed.utils import safe_get_full_fp32_param

    master = safe_get_full_fp32_param(parameter)  # from ZeRO's shards; none where there are none
    return (parameter if master is None else master).detach().float()


def set_full_weight(parameter: torch.nn.Parameter, value: torch.Tensor) -> None:
    """Overwrite a parameter's float32 weights. All workers take part, with the same value."""
    from deepspeed.utils import safe_get_local_fp32_param, safe_set_full_fp32_param, safe_set_local_fp32_param

    if hasattr(parameter, "ds_id"):  # ZeRO-3: a slice a worker, the last one filled up
        own = safe_get_local_fp32_param(parameter).numel()
        filled = value.new_zeros(own * dist.get_world_size())
        filled[: value.numel()] = value.flatten()
        safe_set_local_fp32_param(parameter, filled[own * dist.get_rank() :][:own])
    elif hasattr(parameter, "_hp_mapping"):
        safe_set_full_fp32_param(parameter, value)
    else:
        parameter.data.copy_(value)


def learning(engine: DeepSpeedEngine) -> dict[str, torch.nn.Parameter]:
    """The parameters that learn, by name."""
    return {name: p for name, p in engine.module.named_parameters() if p.requires_grad}


def gather(engine: DeepSpeedEngine) -> dict[str, torch.Tensor]:
    """All trained weights in float32, on the first worker's CPU; the other workers only take part."""
    weights = {}
    for name, parameter in learning(engine).items():
        value = full_weight(parameter)
        if dist.get_rank() == 0:
            weights[name] = value.cpu()
    return weights
