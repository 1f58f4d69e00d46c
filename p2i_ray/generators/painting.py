"""Painting with generators, as a method: checked before anything starts, and loaded on a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2i_ray.config import DiffusionConfig, ImageConfig
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.errors import UserError
from p2i_ray.storage import locations

if TYPE_CHECKING:
    from p2i_ray.diffusion.sampling.painter import Painter
    from p2i_ray.diffusion.sampling.sampler import SamplerOptions


@dataclass(frozen=True)
class GeneratorPainting:
    """A base with generators beside it: a sampling.painter.PaintingMethod.

    Attributes:
        diffusion: token, prompt and whether a plain base is to be widened.
        settings: the generators' folders, and how they are used.
    """

    diffusion: DiffusionConfig
    settings: GeneratorsConfig

    @property
    def parts(self) -> list[str]:
        """Locations of what is needed beside the model, which all nodes must reach."""
        settings = self.anywhere().settings
        return [part for part in (settings.category, settings.personality) if part is not None]

    def anywhere(self) -> GeneratorPainting:
        """See PaintingMethod."""
        given = {"category": self.settings.category, "personality": self.settings.personality}
        absolute = {name: locations.absolute(part) for name, part in given.items() if part is not None}
        return GeneratorPainting(self.diffusion, self.settings.model_copy(update=absolute))

    def check(self, model: str, image: ImageConfig) -> None:
        """See PaintingMethod."""
        from p2i_ray.diffusion.model import validation
        from p2i_ray.generators import folder
        from p2i_ray.generators.base import check_base

        if self.settings.category is None and self.settings.personality is None:
            raise UserError("give generators.category, generators.personality or both: the folders of generators")
        check_base(model, self.diffusion, self.settings, image)
        validation.check_prompt(model, self.diffusion)
        if self.settings.category is not None:
            folder.check(self.settings.category, "category", model, self.settings)
        if self.settings.personality is not None:
            folder.check(self.settings.personality, "personality", model, self.settings)

    def load(self, model: str, options: SamplerOptions) -> Painter:
        """See PaintingMethod."""
        from p2i_ray.generators.sampler import GeneratorSampler

        return GeneratorSampler(model, self.diffusion, options, settings=self.settings)
