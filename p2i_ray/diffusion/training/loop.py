"""One training process, within Ray Train and DeepSpeed; launch.py starts it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist

from p2i_ray.config import TrainConfig
from p2i_ray.diffusion.training import checkpoints, determinism, divergence, engine
from p2i_ray.diffusion.training.batches import Batches
from p2i_ray.diffusion.training.ema import ShardedEMA
from p2i_ray.diffusion.training.job import LocalBatch, Objective, StepValues, TrainedModel
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
    objective = job.objective
    parts, model = objective.build(job)
    with checkpoints.newest(model, settings) as found:
        universal = bool(found and found.universal)
        trainee = engine.start(cast(TrainedModel, model), settings, job.steps, universal=universal)
        average = ShardedEMA(trainee, settings.ema_decay)
        curve: list[StepValues] = list(map(objective.read, found.load(trainee, average))) if found else []
    batches = Batches(stream, objective.collate(job, parts, model), objective.batch)
    with Reporter(job, len(curve), is_first=first) as reporter:
        started = time.time() - job.called
        while len(curve) < job.steps:
            begun = time.perf_counter()
            local, numbers = batches.take(len(curve))
            rates = engine.learning_rates(trainee)
            curve.append(
                _step(
                    trainee,
                    local,
                    numbers,
                    rates,
                    curve=curve,
                    objective=objective,
                    settings=settings,
                    schedule=schedule,
                )
            )
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
        objective.save(job, weights, curve)
    return {"rows": job.rows, "steps": len(curve), "loss": curve[-1].total, "start_s": started, **reporter.speed()}


def _step(
    trainee: DeepSpeedEngine,
    local: LocalBatch,
    numbers: torch.Tensor,
    rates: dict[str, float],
    *,
    curve: list[StepValues],
    objective: Objective,
    settings: TrainConfig,
    schedule: SampleSchedule,
) -> StepValues:
    """One optimizer step over the global batch, of which `local`, the rows with these numbers, is this worker's part.

    Raises:
        UserError: the loss is not finite, or far above those before; the same on all workers, before anything changes.
    """
    step = len(curve)
    count = engine.accumulation(settings)
    micros = [local] if count == 1 else list(local.micro_batches(count))
    found = []
    for micro in micros:
        last = micro is micros[-1]
        losses = trainee(micro, (micro if count == 1 else local) if last else None, count)
        found.append(_gather_rows(objective.losses_of_rows(losses)))  # (world, B of a micro-batch)
        seen = torch.cat(found, dim=1)
        if not (torch.isfinite(seen).all() and torch.isfinite(losses.total.detach())):
            ids = schedule.ids(_gather_rows(numbers))
            raise UserError(divergence.not_finite(seen, ids, step=step, rates=objective.rates))
        if last:
            record = objective.record(step + 1, seen, losses, rates=rates)
            times = divergence.spike(
                [earlier.total for earlier in curve[-divergence.WINDOW :]], record.total, settings.max_loss_ratio
            )
            if times:
                ids = schedule.ids(_gather_rows(numbers))
                raise UserError(divergence.spiked(times, record.total, ids, step=step, rates=objective.rates))
        trainee.backward(losses.total)
        norm = engine.gradient_norm(trainee) if last else 0.0
        trainee.step()
    # mypy gives each named tuple a _replace of its own, which no protocol can have.
    done: StepValues = cast(Any, record)._replace(grad_norm=float(trainee.get_global_grad_norm() or norm))
    return done


def _gather_rows(values: torch.Tensor) -> torch.Tensor:
    """Every worker's (B,) values as (world, B)."""
    parts = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, values.detach().contiguous())
    return torch.stack(parts)
