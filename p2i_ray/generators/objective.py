"""The objective of generators: one that learns beside a frozen base, alone or with another that is frozen, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.config.generators import UNUSED_CLIP
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.model import training_checks, validation
from p2i_ray.errors import UserError
from p2i_ray.generators import folder_check
from p2i_ray.generators.learner import GeneratorRecord, Learner

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from p2i_ray.diffusion.model.loading import Parts
    from p2i_ray.diffusion.training.job import TrainingJob
    from p2i_ray.generators.batches import GeneratorCollate
    from p2i_ray.generators.generator import Kind
    from p2i_ray.generators.step import GeneratorBatch, GeneratorModel


@dataclass(frozen=True)
class GeneratorObjective(Learner):
    """An Objective (diffusion/training/job.py); attributes as of Learner."""

    pictures = True
    rates = "generators.lr_copy and generators.lr_identifiers"
    means = ("noise", "pull", "total")

    @property
    def others(self) -> bool:
        """See Objective: references are spoilt with other pictures."""
        return self.kind == "personality" or self.settings.personality is not None

    def check(self, base_folder: str, diffusion: DiffusionConfig, settings: TrainConfig) -> None:
        """See Objective."""
        from p2i_ray.generators import base

        base.check_base(base_folder, diffusion, self.settings)
        training_checks.check_clip(diffusion.clip, base_folder)
        if settings.lora_rank:
            raise UserError(
                f"train.lora_rank={settings.lora_rank} has nothing to adapt: a generator is a copy that learns as a "
                "whole, beside a frozen base; set train.lora_rank=0"
            )
        if self.kind == "category" and self.settings.personality is None and self.settings.reference_clip is not None:
            raise UserError(UNUSED_CLIP)
        if self.settings.base_prompt == "product2img":
            validation.check_prompt(base_folder, diffusion)
        kinds: tuple[Kind, ...] = ("category", "personality")
        for kind in kinds:
            if (given := getattr(self.settings, kind)) is not None:
                folder_check.check(given, kind, base_folder, self.settings)

    def build(self, job: TrainingJob) -> tuple[Parts, GeneratorModel]:
        """See Objective."""
        from p2i_ray.generators.model import build

        return build(self, job)

    def collate(self, job: TrainingJob, parts: Parts, model: GeneratorModel) -> GeneratorCollate:
        """See Objective."""
        from p2i_ray.generators.batches import GeneratorCollate

        return GeneratorCollate(
            parts,
            model,
            diffusion=job.diffusion,
            settings=self.settings,
            seed=job.seed,
            prompt_dropout=job.settings.prompt_dropout,
        )

    def batch(self, values: dict[str, torch.Tensor]) -> GeneratorBatch:
        """See Objective."""
        from p2i_ray.generators.step import GeneratorBatch

        return GeneratorBatch(**values)

    def losses_of_rows(self, losses: Any) -> torch.Tensor:
        """Noise and pull of each row, (B, 2)."""
        import torch

        return torch.stack([losses.noise, losses.pull], dim=1)

    def record(self, step: int, rows: torch.Tensor, losses: Any, *, rates: Mapping[str, float]) -> GeneratorRecord:
        """See Objective."""
        noise, pull = rows.detach().flatten(0, 1).mean(dim=0).tolist()
        total = noise + self.settings.rare_weight * pull
        return GeneratorRecord(step=step, noise=noise, pull=pull, total=total, lr=rates["copy"], grad_norm=0.0)

    def read(self, values: Sequence[Any]) -> GeneratorRecord:
        """See Objective."""
        return GeneratorRecord(*values)

    def paint(self, job: TrainingJob, parts: Parts, model: GeneratorModel, rows: pa.Table) -> Pixels:
        """See Objective."""
        from p2i_ray.generators import samples

        collate = self.collate(job, parts, model)
        return samples.paint(model, parts, rows, collate=collate, settings=job.settings, seed=job.seed)

    def sheet(self, parts: Parts, rows: pa.Table, painted: Pixels) -> Pixels:
        """See Objective."""
        from p2i_ray.generators import samples

        return samples.sheet(rows, painted, references=self.others)

    def save(self, job: TrainingJob, weights: dict[str, torch.Tensor], curve: Sequence[Any]) -> None:
        """Write the generator's folder."""
        from p2i_ray.generators.model import save

        save(self, job, weights, list(curve))
