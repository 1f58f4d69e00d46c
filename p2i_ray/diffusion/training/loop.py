"""One training process, within Ray Train and DeepSpeed; launch.py starts it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from p2i_ray.config import TrainConfig
from p2i_ray.diffusion.model import card, export, loading, lora, validation
from p2i_ray.diffusion.model.card import StepRecord
from p2i_ray.diffusion.step import Batch, Losses, Product2Img, recompute_activations
from p2i_ray.diffusion.training import checkpoints, determinism, divergence, engine
from p2i_ray.diffusion.training.batches import Batches
from p2i_ray.diffusion.training.ema import ShardedEMA
from p2i_ray.diffusion.training.reporter import Reporter, StepSeconds
from p2i_ray.errors import UserError

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine

    from p2i_ray.diffusion.training.ingest import SampleSchedule, WorkerStream
    from p2i_ray.diffusion.training.job import TrainingJob


def train_worker(job: TrainingJob, schedule: SampleSchedule, stream: WorkerStream) -> dict[str, Any]:
    """Train and, on the first worker, save the model; returns the result of launch.train, or {"error"}.

    A UserError is returned, not raised: starting again wouldn't help.
    """
    determinism.apply(job.settings)
    try:
        return _train(job, schedule, stream)
    except UserError as error:  # Ray wraps what a task raised, and then says where instead of what
        return {"error": str(getattr(error, "cause", error))}
    except RuntimeError as error:
        if line := determinism.explain(error):
            return {"error": line}
        raise


def _train(job: TrainingJob, schedule: SampleSchedule, stream: WorkerStream) -> dict[str, Any]:
    settings, first = job.settings, dist.get_rank() == 0
    parts = loading.load(job.base, job.diffusion)
    model = _model(job, parts)
    with checkpoints.newest(model, settings) as found:
        trainee = engine.start(model, settings, job.steps, universal=bool(found and found.universal))
        average = ShardedEMA(trainee, settings.ema_decay)
        curve = found.load(trainee, average) if found else []
    batches = Batches(
        stream,
        parts,
        aligned=model.aligned,
        diffusion=job.diffusion,
        seed=job.seed,
        prompt_dropout=settings.prompt_dropout,
    )
    with Reporter(job, len(curve), is_first=first) as reporter:
        started = time.time() - job.called
        while len(curve) < job.steps:
            begun = time.perf_counter()
            local, numbers = batches.take(len(curve))
            rates = engine.learning_rates(trainee)
            curve.append(_step(trainee, local, numbers, rates, curve=curve, settings=settings, schedule=schedule))
            average.step()
            reporter.step(curve[-1], rates, StepSeconds(time.perf_counter() - begun, batches.waited_s))
            due, last = len(curve) % settings.checkpointing_steps == 0, len(curve) == job.steps
            if due and not last:
                checkpoints.save(trainee, average, curve=curve, settings=settings, work=job.work)
            if due or last:
                reporter.paint(len(curve), model, parts)
    with average.in_place():
        weights = engine.gather(trainee)
    if first:
        _save(job, weights, curve)
    return {"rows": job.rows, "steps": len(curve), "loss": curve[-1].total, "start_s": started, **reporter.speed()}


def _model(job: TrainingJob, parts: loading.Parts) -> Product2Img:
    if job.settings.gradient_checkpointing:
        recompute_activations(parts)
    lora.add(parts, job.settings, job.seed)
    return Product2Img(parts, loading.load_projection(job.diffusion), job.settings)


def _step(
    trainee: DeepSpeedEngine,
    local: Batch,
    numbers: torch.Tensor,
    rates: dict[str, float],
    *,
    curve: list[StepRecord],
    settings: TrainConfig,
    schedule: SampleSchedule,
) -> StepRecord:
    """One optimizer step over the global batch, of which `local`, the rows with these numbers, is this worker's part.

    Raises:
        UserError: the loss is not finite, or far above those before; the same on all workers, before anything changes.
    """
    step = len(curve)
    count = engine.accumulation(settings)
    micros = [local] if count == 1 else list(local.micro_batches(count))
    inpaint = []
    for micro in micros:
        last = micro is micros[-1]
        losses = trainee(micro, (micro if count == 1 else local) if last else None, count)
        inpaint.append(_gather_rows(losses.inpaint))  # (world, B of a micro-batch)
        seen = torch.cat(inpaint, dim=1)
        if not (torch.isfinite(seen).all() and torch.isfinite(losses.total.detach())):
            raise UserError(divergence.not_finite(seen, schedule.ids(_gather_rows(numbers)), step))
        if last:
            record = _record(step, seen, losses, rate=rates["unet"], settings=settings)
            times = divergence.spike(
                [earlier.total for earlier in curve[-divergence.WINDOW :]], record.total, settings.max_loss_ratio
            )
            if times:
                raise UserError(divergence.spiked(times, record.total, schedule.ids(_gather_rows(numbers)), step))
        trainee.backward(losses.total)
        norm = engine.gradient_norm(trainee) if last else 0.0
        trainee.step()
    return record._replace(grad_norm=float(trainee.get_global_grad_norm() or norm))


def _record(step: int, inpaint: torch.Tensor, losses: Losses, *, rate: float, settings: TrainConfig) -> StepRecord:
    """A step's losses over the global batch; the gradient's norm is not known yet."""
    mean, background, name = (float(value.detach().mean()) for value in (inpaint, *losses[-2:]))
    total = mean + settings.contrastive_weight * (background + name)
    return StepRecord(
        step=step + 1, inpaint=mean, cl_background=background, cl_name=name, total=total, lr=rate, grad_norm=0.0
    )


def _gather_rows(values: torch.Tensor) -> torch.Tensor:
    """Every worker's (B,) values as (world, B)."""
    parts = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, values.detach().contiguous())
    return torch.stack(parts)


def _save(job: TrainingJob, weights: dict[str, torch.Tensor], curve: list[StepRecord]) -> None:
    """Write the model folder: the base with the trained weights laid over it."""
    training = card.record(job.base, job.diffusion, job.settings, rows=job.rows, seed=job.seed, curve=curve)
    readme = card.write_card(validation.family_of(job.base), job.diffusion, job.settings, training)
    files = {"README.md": readme, card.RECORD: card.dump(training)}
    trained = export.Trained(base=job.base, diffusion=job.diffusion, settings=job.settings, weights=weights)
    export.write(trained, files, job.out)
