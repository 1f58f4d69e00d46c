"""Report a training: metrics of every step, sample images, and the number of steps done."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from p2i_ray.diffusion.features import index
from p2i_ray.diffusion.training.collectives import raise_on_any_rank
from p2i_ray.diffusion.training.tracking import TrainingTracker, open_tracker
from p2i_ray.errors import UserError
from p2i_ray.storage import locations

if TYPE_CHECKING:
    from p2i_ray.diffusion.model.loading import Parts
    from p2i_ray.diffusion.training.job import StepValues, TrainingJob

NOTE_S = 1.0  # shortest time between two notes of the steps done


class StepSeconds(NamedTuple):
    """The time of a step, seconds."""

    step: float  # from the wait for its rows to its end
    waiting: float  # for its rows


class Reporter:
    """A context manager that every worker has; only the first one's writes."""

    def __init__(self, job: TrainingJob, steps_done: int, *, is_first: bool) -> None:
        """Begin, or go on after so many steps.

        Raises:
            UserError: the tool in the settings can't be used; on all workers.
        """
        self._job = job
        self._steps: list[StepSeconds] = []
        self._noted = time.monotonic()
        self._samples: pa.Table | None = None
        self._tracker: TrainingTracker | None = None
        about = {"seed": job.seed, "rows": job.rows, "steps": job.steps, **job.settings.model_dump(mode="json")}
        name = "/".join(job.out.split("/")[-3:])  # as in first/round-1/checkpoint
        line = None
        try:
            if is_first:
                self._tracker = open_tracker(
                    job.settings.tracking, job.tracking, run_name=name, first_step=steps_done + 1, about=about
                )
        except UserError as error:
            line = str(error)
        raise_on_any_rank(line)

    def step(self, record: StepValues, rates: dict[str, float], seconds: StepSeconds) -> None:
        """Report a step that is done.

        Args:
            record: its losses.
            rates: its learning rates by group.
            seconds: its time.
        """
        self._steps.append(seconds)
        if self._tracker is None:
            return
        metrics = {f"loss/{name}": getattr(record, name) for name in self._job.objective.means}
        metrics |= {f"learning_rate/{name}": rate for name, rate in rates.items()}
        metrics |= {
            "gradient_norm": record._asdict()["grad_norm"],
            "images_per_s": self._job.settings.batch_size / seconds.step,
        }
        self._tracker.log_metrics(record.step, metrics | {"waiting": seconds.waiting / seconds.step})
        if record.step == self._job.steps or time.monotonic() - self._noted > NOTE_S:
            locations.write_text(self._job.progress_note, str(record.step))
            self._noted = time.monotonic()

    def paint(self, step: int, model: Any, parts: Parts) -> None:
        """Paint the sample rows. With ZeRO-3 every worker takes part, else only the first."""
        job = self._job
        if not job.settings.tracking.samples or not (self._tracker or job.settings.zero_stage == 3):
            return
        if self._samples is None:
            self._samples = pa.Table.from_batches(index.batches(job.features, job.samples)).sort_by("id")
        painted = job.objective.paint(job, parts, model, self._samples)
        if self._tracker:
            self._tracker.log_image(step, job.objective.sheet(parts, self._samples, painted))

    def speed(self) -> dict[str, float]:
        """Images a second and the fraction of the time spent waiting, of all steps but the first, a warm-up."""
        steady = self._steps[1:]
        if not steady:
            return {}
        median = statistics.median(seconds.step for seconds in steady)
        waiting = sum(seconds.waiting for seconds in steady) / sum(seconds.step for seconds in steady)
        return {"images_per_s": self._job.settings.batch_size / median, "waiting": waiting}

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._tracker:
            self._tracker.close(failed=kind is not None)
