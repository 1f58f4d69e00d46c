"""A training as its worker processes get it, and what of a training is not the same for all models: its objective.

Processes, rows, noise, checkpoints, averages and tracking are the same for all; product2img.py has Eq. 5, and
generators/objective.py the generators beside a base.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.features.index import FeatureIndex
from p2i_ray.storage import locations

if TYPE_CHECKING:  # the driver needs none of these
    import pyarrow as pa
    import torch
    from torch import nn

    from p2i_ray.diffusion.model.loading import Parts


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """Arguments of a training process.

    Attributes:
        features: the index of the features.
        keep: location of a Parquet file whose `id` column lists the rows to train on; none: all.
        rows: number of rows to train on.
        base: location of the model folder to start from.
        diffusion: the frozen CLIP and the token.
        objective: what is trained, and on what.
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
    objective: Objective
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


Collate = Callable[["pa.Table"], "dict[str, torch.Tensor]"]  # rows of one step as tensors


class LocalBatch(Protocol):
    """One worker's rows of a step."""

    def micro_batches(self, count: int) -> Iterator[Self]:
        """The rows in `count` equal parts, in order."""
        ...


class StepValues(Protocol):
    """One optimizer step over the global batch, a named tuple; what it has beside these are its losses."""

    @property
    def step(self) -> int:
        """From 1."""
        ...

    @property
    def total(self) -> float:
        """The loss."""
        ...

    def _asdict(self) -> dict[str, Any]: ...


class Objective(Protocol):
    """A training's model, batches and losses; it travels to the training processes."""

    @property
    def pictures(self) -> bool:
        """Whether rows need their pictures and categories; see features.encode."""
        ...

    @property
    def others(self) -> bool:
        """Whether each row needs the picture of another one as well; see ingest.SampleSchedule."""
        ...

    @property
    def rates(self) -> str:
        """The settings of the learning rates, for advice: "train.lr_unet and train.lr_text"."""
        ...

    @property
    def means(self) -> Sequence[str]:
        """Names of the losses in a step's record."""
        ...

    def check(self, base: str, diffusion: DiffusionConfig, settings: TrainConfig) -> None:
        """Find before anything starts what would end the training.

        Raises:
            UserError: model and settings don't suit each other.
        """
        ...

    def build(self, job: TrainingJob) -> tuple[Parts, nn.Module]:
        """The base's parts, and the model of them that is called with (micro-batch, whole batch or none, share).

        It has the methods of `TrainedModel`.
        """
        ...

    def collate(self, job: TrainingJob, parts: Parts, model: Any) -> Collate:
        """The maker of tensors of rows; beside the batch's fields it gives `step` and `number`."""
        ...

    def batch(self, values: dict[str, torch.Tensor]) -> LocalBatch:
        """The batch of what `collate` gave."""
        ...

    def losses_of_rows(self, losses: Any) -> torch.Tensor:
        """(B,), each row's own loss."""
        ...

    def record(self, step: int, rows: torch.Tensor, losses: Any, *, rates: Mapping[str, float]) -> StepValues:
        """A step's values, the same on all workers; the gradient's norm, `grad_norm`, is not known yet.

        Args:
            step: from 1.
            rows: losses of all rows, (world, B).
            losses: of the last micro-batch.
            rates: learning rates by group.
        """
        ...

    def read(self, values: Sequence[Any]) -> StepValues:
        """A record as a checkpoint has it."""
        ...

    def paint(self, job: TrainingJob, parts: Parts, model: Any, rows: pa.Table) -> Pixels:
        """Sample images (n, H, W, 3) of rows. With ZeRO-3 all workers take part."""
        ...

    def sheet(self, parts: Parts, rows: pa.Table, painted: Pixels) -> Pixels:
        """One image, (H', W', 3), of what was painted and what it was painted from."""
        ...

    def save(self, job: TrainingJob, weights: dict[str, torch.Tensor], curve: Sequence[Any]) -> None:
        """Write the folder of what was trained; on the first worker.

        Args:
            job: the training.
            weights: all that learned, by name.
            curve: the record of each step.
        """
        ...


class TrainedModel(Protocol):
    """A model in training."""

    @property
    def denoiser(self) -> nn.Module:
        """The modules that `train.compile` compiles."""
        ...

    def groups(self, settings: TrainConfig) -> list[dict[str, Any]]:
        """The optimizer's groups: "name", "params", "lr", and "weight_decay" where it isn't the settings'."""
        ...
