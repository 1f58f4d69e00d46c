"""A training as its worker processes get it."""

from __future__ import annotations

from dataclasses import dataclass

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.diffusion.features.index import FeatureIndex
from p2i_ray.storage import locations


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """What a training process gets.

    Attributes:
        features: the index of the features.
        keep: location of a Parquet file whose `id` column lists the rows to train on; none: all.
        rows: number of rows to train on.
        base: location of the model folder to start from.
        diffusion: the frozen CLIP and the token.
        settings: of the training.
        steps: optimizer steps.
        seed: of the rows' order and the noise.
        out: location of the new model folder.
        work: location of the checkpoints, which all workers reach.
        tracking: location of TensorBoard's files and the sample images.
        called: time.time() of the call.
    """

    features: FeatureIndex
    keep: str | None
    rows: int
    base: str
    diffusion: DiffusionConfig
    settings: TrainConfig
    steps: int
    seed: int
    out: str
    work: str
    tracking: str
    called: float

    @property
    def progress_note(self) -> str:
        """Location of the small file with the number of steps done."""
        return locations.join(self.work, "steps-done")

    @property
    def first_step_note(self) -> str:
        """Location of the small file with the step from which rows are streamed; see ingest.SampleSchedule."""
        return locations.join(self.work, "rows-from")

    @property
    def samples(self) -> str:
        """Location of the list of the rows that are painted at checkpoints."""
        return locations.join(self.work, "samples.parquet")
