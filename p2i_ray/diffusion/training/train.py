"""Fine-tuning by Eq. 5 on cached features: starts the training processes, follows them, answers for their mistakes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from p2i_ray import storage
from p2i_ray.config import PainterConfig, TrainConfig
from p2i_ray.diffusion import checks
from p2i_ray.diffusion.training import rows
from p2i_ray.errors import UserError
from p2i_ray.sink import Progress

RUN_NAME = "train"
POLL_S = 1.0


@dataclass(frozen=True)
class Job:
    """What a training process is told; see `train`."""

    features: str
    files: list[str]
    keep: str | None
    base: str
    painter: PainterConfig
    settings: TrainConfig
    steps: int
    seed: int
    out: str
    note: str  # location of the small file that says how many steps are done


def train(
    features: str,
    files: Sequence[str],
    keep: str | None,
    base: str,
    painter: PainterConfig,
    settings: TrainConfig,
    steps: int,
    seed: int,
    out: str,
    work: str,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a model folder on feature rows, and write the new model folder.

    The same call with the same `work` goes on from the newest checkpoint there, with the losses and weights that it
    would have had. Workers that die are replaced up to `settings.max_failures` times.

    Args:
        features: folder that `features.encode` wrote.
        files: the names of its files that count.
        keep: location of a Parquet file whose `id` column lists the rows to train on; none: all.
        base: model folder to start from.
        painter: the frozen CLIP and the token.
        settings: of the training.
        steps: optimizer steps.
        seed: of the rows' order and the noise.
        out: location of the new model folder.
        work: location for checkpoints, which all workers reach; remove it when the model is finished.
        progress: told the number of steps just done.

    Returns:
        {"rows": trained on, "steps", "loss": the last step's}.

    Raises:
        UserError: too few rows, a batch that workers can't share, models that don't fit, or a loss that is no number.
    """
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    painter, keep = checks.anywhere(painter), storage.absolute(keep) if keep else None
    features, base, out, work = (storage.absolute(location) for location in (features, base, out, work))
    checks.check_model(base)
    checks.check_clip(painter.clip, base)
    check(settings, rows.count(features, files, keep))
    # A report waits for the controller's next look at its workers: 2 s by default.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    note = storage.join(work, "steps-done")
    storage.make_folder(work)
    job = Job(features, list(files), keep, base, painter, settings, steps, seed, out, note)
    resources = {"CPU": settings.num_cpus} | ({"GPU": settings.num_gpus} if settings.num_gpus else {})
    trainer = TorchTrainer(
        _work,
        train_loop_config={"job": job},
        torch_config=TorchConfig(backend="nccl" if settings.num_gpus else "gloo", timeout_s=int(settings.timeout_s)),
        scaling_config=ScalingConfig(
            num_workers=settings.workers,
            use_gpu=settings.num_gpus > 0,
            resources_per_worker=resources,
        ),
        run_config=RunConfig(
            name=RUN_NAME,
            storage_path=work,
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            failure_config=FailureConfig(max_failures=settings.max_failures),
        ),
    )
    with _following(note, progress):
        outcome = trainer.fit().return_value
    if "error" in outcome:
        raise UserError(outcome["error"])
    return outcome


def _work(config: dict[str, Any]) -> dict[str, Any]:
    from p2i_ray.diffusion.training.worker import train_worker  # heavy: not for the driver

    return train_worker(config["job"])


def check(settings: TrainConfig, count: int) -> None:
    """Find out before anything starts whether the batch can be made.

    Raises:
        UserError: it can't; the line has the numbers.
    """
    if count < settings.batch_size:
        raise UserError(
            f"{count} rows are left to train on, fewer than train.batch_size={settings.batch_size}; "
            "lower train.batch_size or idr.gamma, or bring more data"
        )
    parts = settings.workers * settings.accumulation
    if settings.batch_size % parts:
        raise UserError(
            f"train.batch_size={settings.batch_size} can't be shared by train.workers={settings.workers} x "
            f"train.accumulation={settings.accumulation}; make it a multiple of {parts}"
        )


@contextmanager
def _following(note: str, progress: Progress | None) -> Iterator[None]:
    """Tell `progress` of the steps that the first worker notes, while the block runs."""
    stop = threading.Event()
    told = 0

    def look() -> None:
        nonlocal told
        done = int(storage.read_text(note)) if storage.exists(note) else 0
        if progress and done > told:
            progress(done - told)
            told = done

    def follow() -> None:
        while not stop.wait(POLL_S):
            look()

    thread = threading.Thread(target=follow, name="training progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    look()
