"""The objective of Product2Img: inpainting and Contrastive Background Alignment, Eq. 5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.model import training_checks
from p2i_ray.diffusion.model.card import MEANS, StepRecord

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from p2i_ray.diffusion.model.loading import Parts
    from p2i_ray.diffusion.step import Batch, Product2Img
    from p2i_ray.diffusion.training.batches import Collate
    from p2i_ray.diffusion.training.job import TrainingJob


@dataclass(frozen=True)
class Product2ImgObjective:
    """An Objective; see there.

    Attributes:
        contrastive_weight: lambda of Eq. 5.
    """

    contrastive_weight: float
    pictures = others = False
    rates = "train.lr_unet and train.lr_text"
    means = MEANS

    def check(self, base: str, diffusion: DiffusionConfig, settings: TrainConfig) -> None:
        """See Objective."""
        training_checks.check_training(base, diffusion, settings)

    def build(self, job: TrainingJob) -> tuple[Parts, Product2Img]:
        """See Objective."""
        from p2i_ray.diffusion.model import loading, lora
        from p2i_ray.diffusion.step import Product2Img, recompute_activations

        parts = loading.load(job.base, job.diffusion)
        if job.settings.gradient_checkpointing:
            recompute_activations(parts)
        lora.add(parts, job.settings, job.seed)
        return parts, Product2Img(parts, loading.load_projection(job.diffusion), job.settings)

    def collate(self, job: TrainingJob, parts: Parts, model: Product2Img) -> Collate:
        """See Objective."""
        from p2i_ray.diffusion.training.batches import Collate

        return Collate(
            parts.tokenizers,
            aligned=model.aligned,
            diffusion=job.diffusion,
            seed=job.seed,
            timesteps=int(parts.scheduler.config["num_train_timesteps"]),
            prompt_dropout=job.settings.prompt_dropout,
        )

    def batch(self, values: dict[str, torch.Tensor]) -> Batch:
        """See Objective."""
        from p2i_ray.diffusion.step import Batch

        return Batch(**values)

    def losses_of_rows(self, losses: Any) -> torch.Tensor:
        """Eq. 3 of each row, (B,)."""
        found: torch.Tensor = losses.inpaint
        return found

    def record(self, step: int, rows: torch.Tensor, losses: Any, *, rates: Mapping[str, float]) -> StepRecord:
        """See Objective; Eq. 4's terms are of the global batch already."""
        inpaint, background, name = (float(value.detach().mean()) for value in (rows, *losses[-2:]))
        return StepRecord(
            step=step,
            inpaint=inpaint,
            cl_background=background,
            cl_name=name,
            total=inpaint + self.contrastive_weight * (background + name),
            lr=rates["unet"],
            grad_norm=0.0,
        )

    def read(self, values: Sequence[Any]) -> StepRecord:
        """See Objective."""
        return StepRecord(*values)

    def paint(self, job: TrainingJob, parts: Parts, model: Product2Img, rows: pa.Table) -> Pixels:
        """See Objective."""
        from p2i_ray.diffusion.training import rows as stored
        from p2i_ray.diffusion.training import samples

        some = samples.SampleRows(rows["name"].to_pylist(), stored.unpack(rows))
        tracking, diffusion = job.settings.tracking, job.diffusion
        return samples.paint(
            model, parts, some, token=diffusion.token, template=diffusion.prompt, settings=tracking, seed=job.seed
        )

    def sheet(self, parts: Parts, rows: pa.Table, painted: Pixels) -> Pixels:
        """See Objective."""
        from p2i_ray.diffusion.training import rows as stored
        from p2i_ray.diffusion.training import samples

        return samples.sheet(parts, stored.unpack(rows), painted)

    def save(self, job: TrainingJob, weights: dict[str, torch.Tensor], curve: Sequence[Any]) -> None:
        """Write the model folder: the base with the trained weights laid over it."""
        from p2i_ray.diffusion.model import card, export, validation

        training = card.record(job.base, job.diffusion, job.settings, rows=job.rows, seed=job.seed, curve=list(curve))
        readme = card.write_card(validation.family_of(job.base), job.diffusion, job.settings, training)
        files = {"README.md": readme, card.RECORD: card.dump(training)}
        trained = export.Trained(base=job.base, diffusion=job.diffusion, settings=job.settings, weights=weights)
        export.write(trained, files, job.out)
