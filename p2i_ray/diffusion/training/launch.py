"""Train on cached features: start the training processes, follow them, turn their errors into lines."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from p2i_ray.cluster import placement, ray_internals, resources, root_cause
from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.diffusion.features import index
from p2i_ray.diffusion.features.index import FeatureIndex
from p2i_ray.diffusion.model import validation
from p2i_ray.diffusion.training import failures
from p2i_ray.diffusion.training.job import Objective, TrainingJob
from p2i_ray.diffusion.training.product2img import Product2ImgObjective
from p2i_ray.diffusion.training.trackers import check_tool
from p2i_ray.errors import UserError, WorkerDiedError
from p2i_ray.storage import folders, locations, parquet
from p2i_ray.storage.parquet import Progress

RUN_NAME = "train"
POLL_S = 1.0
log = logging.getLogger(__name__)


def train(
    features: FeatureIndex,
    *,
    keep: str | None,
    base: str,
    diffusion: DiffusionConfig,
    settings: TrainConfig,
    steps: int,
    seed: int,
    out: str,
    work: str,
    tracking: str,
    objective: Objective | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a model folder on feature rows, and write the folder of what was trained.

    The same call with the same `work` goes on from the newest checkpoint there, with the losses and weights that it
    would have had; with another number of workers they are the same to rounding. Workers that die are replaced up to
    `settings.max_failures` times.

    Args:
        features: as `features.encode` wrote them.
        keep: location of a Parquet file whose `id` column lists the rows to train on; none: all.
        base: model folder to start from.
        diffusion: the frozen CLIP and the token.
        settings: of the training.
        steps: optimizer steps.
        seed: of the rows' order and the noise.
        out: location of the new model folder.
        work: location for checkpoints, which all workers reach; remove it when the model is finished.
        tracking: location for TensorBoard's files and the sample images.
        objective: what is trained, and on what; none: the base, by Eq. 5.
        progress: called with the number of steps just done.

    Returns:
        {"rows": trained on, "steps", "loss": the last step's, "launched_s": seconds until Ray Train's workers run,
        "start_s": seconds until the first step, when libraries and model are loaded, "images_per_s": median,
        "waiting": fraction of the time that the first worker waited for rows}; the last two are of this call and absent
        where it had no second step.

    Raises:
        UserError: too few rows, a batch that workers can't share, models that don't fit, features that are missing, a
            loss that is not finite or far too high, a disk that is full, or a cluster that is too small.
    """
    import pyarrow as pa

    called = time.time()
    diffusion, keep = validation.anywhere(diffusion), locations.absolute(keep) if keep else None
    base, out, work, tracking = (locations.absolute(location) for location in (base, out, work, tracking))
    objective = objective or Product2ImgObjective(settings.contrastive_weight)
    objective.check(base, diffusion, settings)
    by_size = index.by_size(features, keep)
    used = usable_sizes(settings, {size: len(ids) for size, ids in by_size.items()})
    ids = by_size[max(used, key=lambda size: used[size])]  # of the pictures that are painted at checkpoints
    index.check(features, keep)
    check_tool(settings.tracking)
    folders.make_folder(work)
    job = TrainingJob(
        features=features,
        keep=keep,
        rows=sum(used.values()),
        base=base,
        diffusion=diffusion,
        objective=objective,
        settings=settings,
        steps=steps,
        seed=seed,
        out=out,
        work=work,
        tracking=tracking,
        called=called,
    )
    parquet.write_table(pa.table({"id": ids[: settings.tracking.samples].cast(pa.string())}), job.samples)
    with _progress_of(job.progress_note, progress):
        outcome = _fit(job)
    if "error" in outcome:
        raise UserError(outcome["error"])
    return outcome


def usable_sizes(settings: TrainConfig, counts: Mapping[str, int]) -> dict[str, int]:
    """The sizes of pictures that fill a batch, which is of one size; the others are left out with a warning.

    Args:
        settings: of the training.
        counts: rows by the size of their pictures.

    Raises:
        UserError: none has as many rows as a batch; the line has the numbers.
    """
    used = {size: count for size, count in counts.items() if count >= settings.batch_size}
    if not used:
        check_rows(settings, max(counts.values(), default=0), " of one size" if len(counts) > 1 else "")
    for size, count in counts.items():
        if size not in used:
            log.warning(
                "training leaves out %d rows of %s: fewer than train.batch_size=%d, and a batch is of one size; "
                "lower it, or take that shape out of image.aspect_ratios",
                count,
                size,
                settings.batch_size,
            )
    return used


def check_rows(settings: TrainConfig, count: int, of_what: str = "") -> None:
    """Find out before anything starts whether there are rows for a batch.

    Raises:
        UserError: there aren't; the line has the numbers.
    """
    if count < settings.batch_size:
        raise UserError(
            f"{count} rows{of_what} are left to train on, fewer than train.batch_size={settings.batch_size}; "
            "lower train.batch_size or idr.gamma, or bring more data"
        )


def _fit(job: TrainingJob) -> dict[str, Any]:
    """Run the training processes to their end; returns the first one's result."""
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchTrainer

    from p2i_ray.diffusion.training import ingest
    from p2i_ray.diffusion.training.process_group import ProcessGroupConfig

    # A report waits for the controller's next look at its workers: 2 s by default.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    settings = job.settings
    need = resources.train(settings)
    placement.wait_for(need)
    schedule = ingest.SampleSchedule(
        features=job.features,
        keep=job.keep,
        seed=job.seed,
        batch=settings.batch_size,
        steps=job.steps,
        row_bytes=index.row_bytes(job.features) * (2 if job.objective.others else 1),
        others=job.objective.others,
        note=job.first_step_note,
    )
    filesystem, place = locations.open_for_arrow(job.work)
    workers = (settings.min_workers, settings.num_workers) if settings.min_workers else settings.num_workers
    trainer = TorchTrainer(
        _work,  # type: ignore[arg-type]  # what a worker returns is part of the result
        train_loop_config={"job": job, "schedule": schedule},
        datasets={**ingest.placeholder()},
        dataset_config=ingest.ScheduledIngest(schedule),
        torch_config=ProcessGroupConfig(
            backend="nccl" if settings.num_gpus else "gloo", timeout_s=int(settings.timeout_s)
        ),
        scaling_config=ScalingConfig(
            num_workers=cast(Any, workers),  # a pair is taken, too
            use_gpu=settings.num_gpus > 0,
            resources_per_worker={"CPU": 0, **need.bundle.resources()},  # unsaid it would be one
        ),
        run_config=RunConfig(
            name=RUN_NAME,
            storage_path=place,
            storage_filesystem=filesystem,
            checkpoint_config=CheckpointConfig(num_to_keep=settings.checkpoints_total_limit),
            failure_config=FailureConfig(max_failures=settings.max_failures),
        ),
    )
    controllers = ray_internals.keep_interrupts(trainer)
    try:
        result: Any = trainer.fit()  # its return value is not among its declared fields
        outcome: dict[str, Any] = result.return_value
        return outcome
    except KeyboardInterrupt:
        for controller in controllers:  # the traceback holds it: in a notebook, the training would go on
            controller.abort.remote()  # frees what its workers have reserved; killed, it would not
        raise
    except TrainingFailedError as error:
        line = failures.disk_full_line(error) or failures.memory_line(error, settings)
        if line is not None:
            return {"error": line}
        if (line := root_cause.death_line(error)) is not None:
            raise WorkerDiedError(
                f"training: {line} {failures.memory_remedy(settings)}; the same command goes on"
            ) from error
        raise
    finally:
        controllers.clear()  # its process ends with its last handle


def _work(config: dict[str, Any]) -> dict[str, Any]:
    from p2i_ray.diffusion.training.ingest import WorkerStream

    job, schedule = config["job"], config["schedule"]
    launched_s = time.time() - job.called
    stream = WorkerStream(schedule, job.settings.prefetch_batches)
    from p2i_ray.diffusion.training.loop import train_worker  # heavy: not for the driver, and while the stream starts

    return {**train_worker(job, schedule, stream), "launched_s": launched_s}


@contextmanager
def _progress_of(note: str, progress: Progress | None) -> Iterator[None]:
    """Call `progress` with the steps that the first worker notes, while the block runs."""
    stop = threading.Event()
    reported = 0

    def look() -> None:
        nonlocal reported
        done = int(locations.read_text(note)) if locations.exists(note) else 0
        if progress and done > reported:
            progress(done - reported)
            reported = done

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
