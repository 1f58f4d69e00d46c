"""What one training process does, within Ray Train and DeepSpeed; see training.py for who starts it."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray.train
import ray.train.torch
import torch
import torch.distributed as dist
from diffusers.optimization import get_cosine_schedule_with_warmup

from p2i_ray import storage
from p2i_ray.config import TrainConfig
from p2i_ray.diffusion import card, folder
from p2i_ray.diffusion.card import StepRecord
from p2i_ray.diffusion.step import Batch, Product2Img, draw, recompute_activations
from p2i_ray.diffusion.tokens import tokenise
from p2i_ray.diffusion.training import rows
from p2i_ray.errors import UserError

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine

    from p2i_ray.diffusion.training.train import Job

HISTORY = "history.json"  # beside DeepSpeed's files in a checkpoint
PROGRESS_S = 1.0  # shortest time between two notes of how far training is


def train_worker(job: Job) -> dict[str, Any]:
    """Train and, on the first worker, save the model; returns {"rows", "steps", "loss"} or {"error"}.

    An error of the user's is returned, not raised: starting again wouldn't help.
    """
    try:
        return _train(job)
    except UserError as error:
        return {"error": str(error)}


def _train(job: Job) -> dict[str, Any]:
    device = ray.train.torch.get_device()
    data = _open_rows(job)
    parts = folder.load(job.base, job.painter.token, job.painter.token_from)
    projection = folder.load_projection(job.painter)
    settings = job.settings
    if settings.gradient_checkpointing:
        recompute_activations(parts)
    model = Product2Img(parts, projection, settings.temperature, settings.contrastive_weight, settings.lr_text > 0)
    engine = _engine(model, settings, job.steps)
    curve = _resume(engine)
    noted = time.monotonic()
    for step in range(len(curve), job.steps):
        local, ids = _read(job, data, parts, step)
        curve.append(_step(engine, local.to(device), step, ids, settings))
        done = step + 1
        if done % settings.checkpoint_every == 0 and done < job.steps:
            _checkpoint(engine, curve)
        if dist.get_rank() == 0 and (done == job.steps or time.monotonic() - noted > PROGRESS_S):
            storage.write_text(job.note, str(done))
            noted = time.monotonic()
    weights = _gather(engine)
    if dist.get_rank() == 0:
        _save(job, weights, len(data), curve)
    return {"rows": len(data), "steps": len(curve), "loss": curve[-1].total}


def _step(engine: DeepSpeedEngine, local: Batch, step: int, ids: list[str], settings: TrainConfig) -> StepRecord:
    """One optimizer step over the global batch, whose rows are `ids`."""
    lr = float(engine.get_lr()[0])
    micros = [local] if settings.accumulation == 1 else list(local.micro_batches(settings.accumulation))
    inpaint = []
    for micro in micros:
        last = micro is micros[-1]
        losses = engine(micro, (micro if len(micros) == 1 else local) if last else None, len(micros))
        inpaint.append(_gather_rows(losses.inpaint))  # (world, B of a micro-batch)
        if not (torch.isfinite(inpaint[-1]).all() and torch.isfinite(losses.total.detach())):  # the same on all workers
            raise UserError(_not_finite(torch.cat(inpaint, dim=1), step, ids))
        engine.backward(losses.total)
        norm = _gradient_norm(engine) if last else 0.0
        engine.step()
    mean = float(torch.cat(inpaint, dim=1).mean())
    background, name = float(losses.cl_background.detach()), float(losses.cl_name.detach())
    total = mean + settings.contrastive_weight * (background + name)
    return StepRecord(step + 1, mean, background, name, total, lr, float(engine.get_global_grad_norm() or norm))


def _gradient_norm(engine: DeepSpeedEngine) -> float:
    """The L2 norm of the averaged gradients, where DeepSpeed's own optimizers don't measure it: without ZeRO, fp32."""
    if engine.zero_optimization_stage() or engine.bfloat16_enabled():
        return 0.0
    return float(torch.nn.utils.get_total_norm([p.grad for p in engine.module.parameters() if p.grad is not None]))


def _gather_rows(values: torch.Tensor) -> torch.Tensor:
    """Every worker's (B,) values as (world, B)."""
    parts = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, values.detach())
    return torch.stack(parts)


def _not_finite(inpaint: torch.Tensor, step: int, ids: list[str]) -> str:
    """The line that names the rows whose loss is no number; (world, B) losses of the first rows of each worker."""
    by_worker = torch.tensor(range(len(ids))).reshape(len(inpaint), -1)[:, : inpaint.shape[1]]
    rows_at_fault = by_worker[~torch.isfinite(inpaint.cpu())].tolist()
    equation = "Eq. 3" if rows_at_fault else "Eq. 4"
    named = [ids[position] for position in rows_at_fault or range(len(ids))]
    return (
        f"training stops at step {step + 1}: the loss of {equation} is not finite for {', '.join(named)}; look at "
        "these rows, lower train.lr_unet and train.lr_text, or set train.dtype=fp32"
    )


def _read(job: Job, data: rows.Rows, parts: folder.Parts, step: int) -> tuple[Batch, list[str]]:
    """This worker's rows of a step's global batch, and the ids of the whole; workers take consecutive parts of it."""
    settings = job.settings
    numbers = rows.global_batch(job.seed, len(data), step, settings.batch_size)
    size = settings.batch_size // dist.get_world_size()
    mine = range(dist.get_rank() * size, (dist.get_rank() + 1) * size)
    names, features = data.take([numbers[position] for position in mine])
    prompts = tokenise(parts.tokenizer, job.painter.token, names)
    timesteps = int(parts.scheduler.config.num_train_timesteps)
    draws = draw(job.seed, step, mine, data.latent, timesteps, settings.name_dropout)
    batch = Batch(
        **{k: torch.from_numpy(v) for k, v in features.items()},
        input_ids=prompts.ids,
        background_at=prompts.background_at,
        eos_at=prompts.eos_at,
        **draws._asdict(),
    )
    return batch, data.ids(numbers)


def _engine(model: Product2Img, settings: TrainConfig, steps: int) -> DeepSpeedEngine:
    """The model under DeepSpeed with AdamW, warm-up and cosine decay."""
    if settings.num_gpus == 0:
        os.environ["DS_ACCELERATOR"] = "cpu"  # also on a machine that has GPUs; read at deepspeed's import
    import deepspeed

    if settings.num_gpus == 0:
        # Otherwise DeepSpeed compiles a shared-memory all-reduce (half a minute, needs a compiler); gloo does it too.
        deepspeed.ops.__compatible_ops__ = {}
    text = [p for p in model.text_encoder.parameters() if p.requires_grad and p is not model.background_row]
    groups: list[dict[str, Any]] = [
        {"params": list(model.unet.parameters()), "lr": settings.lr_unet},
        {"params": [model.background_row], "lr": settings.lr_unet, "weight_decay": 0.0},
    ]
    if text:
        groups.append({"params": text, "lr": settings.lr_text})
    optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
    schedule = get_cosine_schedule_with_warmup(optimizer, round(settings.warmup_share * steps), steps)
    world = dist.get_world_size()
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=optimizer,
        lr_scheduler=schedule,
        config={
            "train_batch_size": settings.batch_size,
            "train_micro_batch_size_per_gpu": settings.batch_size // (world * settings.accumulation),
            "gradient_accumulation_steps": settings.accumulation,
            "gradient_clipping": settings.max_grad_norm,
            "zero_optimization": {"stage": settings.zero_stage},
            "zero_allow_untested_optimizer": True,
            "bf16": {"enabled": settings.dtype == "bf16"},
            "steps_per_print": steps + 1,
        },
    )
    return engine


def _open_rows(job: Job) -> rows.Rows:
    """The feature rows, copied once a node."""
    context = ray.train.get_context()
    first = context.get_local_rank() == 0
    path = rows.copy_to_node(job.features, job.files, job.keep) if first else None
    paths: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(paths, (context.get_node_rank(), path))
    [mine] = [p for node, p in paths if p is not None and node == context.get_node_rank()]
    try:
        return rows.Rows(mine)
    finally:
        dist.barrier()  # all have it mapped: the name can go, so that nothing is left when a worker is killed
        if first:
            rows.unlink(mine)


def _checkpoint(engine: DeepSpeedEngine, curve: list[StepRecord]) -> None:
    """Report a checkpoint: each worker's shard of it, and the first one's history."""
    with tempfile.TemporaryDirectory(prefix="p2i_checkpoint_") as local:
        engine.save_checkpoint(local, tag="step", exclude_frozen_parameters=True)
        if dist.get_rank() == 0:
            Path(local, HISTORY).write_text(json.dumps(curve), "utf-8")
        ray.train.report({"step": len(curve)}, checkpoint=ray.train.Checkpoint.from_directory(local))


def _resume(engine: DeepSpeedEngine) -> list[StepRecord]:
    """Go on from the newest checkpoint, if there is one; returns the steps that were done."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return []
    with checkpoint.as_directory() as local:
        engine.load_checkpoint(local, tag="step", load_module_strict=False)
        return [StepRecord(*values) for values in json.loads(Path(local, HISTORY).read_text("utf-8"))]


def _gather(engine: DeepSpeedEngine) -> dict[str, torch.Tensor]:
    """All trained weights at full precision, on the first worker's CPU; the other workers only take part."""
    from deepspeed.utils import safe_get_full_fp32_param

    weights = {}
    for name, parameter in engine.module.named_parameters():
        if not parameter.requires_grad:
            continue
        master = safe_get_full_fp32_param(parameter)  # from ZeRO's shards; none where there are none
        if dist.get_rank() == 0:
            weights[name] = (parameter if master is None else master).detach().float().cpu()
    return weights


def _save(job: Job, weights: dict[str, torch.Tensor], count: int, curve: list[StepRecord]) -> None:
    """Write the model folder: the base with the trained weights laid over it."""
    parts = folder.load(job.base, job.painter.token, job.painter.token_from)
    folder.lay_over(parts, weights)
    training = card.record(job.base, job.settings, count, job.seed, curve)
    files = {"README.md": card.write_card(job.painter, job.settings, training), card.RECORD: card.dump(training)}
    folder.save(parts, job.out, files)
