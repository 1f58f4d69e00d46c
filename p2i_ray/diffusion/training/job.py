"""A training as its worker processes are told of it."""

from __future__ import annotations

from dataclasses import dataclass

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.diffusion.features.index import FeatureIndex
from p2i_ray.storage import locations


@dataclass(frozen=True)
class TrainingJob:
    """What a training process is told; see launch.train."""

    features: FeatureIndex
    keep: str | None
    rows: int  # to train on
    base: str
    diffusion: DiffusionConfig
    settings: TrainConfig
    steps: int
    seed: int
    out: str
    work: str
    tracking: str
    called: float  # time.time() of the call

    @property
    def note(self) -> str:
        """Location of the small file that says how many steps are done."""
        return locations.join(self.work, "steps-done")

    @property
    def first_step(self) -> str:
        """Location of the small file that says from which step on rows are wanted; see ingest.SampleSchedule."""
        return locations.join(self.work, "rows-from")

    @property
    def samples(self) -> str:
        """Location of the list of the rows that are painted at checkpoints."""
        return locations.join(self.work, "samples.parquet")
