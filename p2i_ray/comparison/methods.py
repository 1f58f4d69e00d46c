"""The methods that stand beside the arms: the paper's baselines, and the sibling paper's generators."""

from __future__ import annotations

from dataclasses import dataclass

from p2i_ray.config import DiffusionConfig
from p2i_ray.config.baseline import BaselineConfig
from p2i_ray.config.comparison import BY_GENERATORS, ComparisonConfig
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.diffusion.baselines.methods import Painting
from p2i_ray.diffusion.sampling.painting_method import PaintingMethod
from p2i_ray.errors import UserError
from p2i_ray.generators.methods import beside
from p2i_ray.storage import locations


@dataclass(frozen=True)
class Methods:
    """The settings that the methods of a comparison paint with.

    Attributes:
        settings: of the comparison.
        baseline: of the baselines.
        generators: the generators' folders, and how they are used.
        base: location of the base model's folder.
        data: location of the EPBD folder.
    """

    settings: ComparisonConfig
    baseline: BaselineConfig
    generators: GeneratorsConfig
    base: str
    data: str

    def painting(self, name: str, diffusion: DiffusionConfig, split: str) -> PaintingMethod:
        """The painting of a split by a method.

        Raises:
            UserError: it lacks a generator's folder, or the split has no references.
        """
        if name not in BY_GENERATORS:
            return Painting(diffusion, name, self.baseline)  # type: ignore[arg-type]
        kinds = BY_GENERATORS[name]
        for kind in kinds:
            if getattr(self.generators, kind) is None:
                raise UserError(f"it needs generators.{kind}; or leave it out of comparison.methods")
        if self.settings.beside == "loop" and not self.generators.other_base:
            raise UserError(
                "comparison.beside=loop has it paint with a model that the generators weren't trained beside; set "
                "generators.other_base=true to try that, or comparison.beside=base"
            )
        others = {kind: None for kind in ("category", "personality") if kind not in kinds}
        return beside(diffusion, self.generators.model_copy(update=others), self.data, split)

    def model(self, name: str, loop: str) -> str:
        """Location of the model that a method paints with.

        Args:
            name: of the method.
            loop: location of the loop's last model.

        Raises:
            UserError: the settings name none.
        """
        if name in BY_GENERATORS:
            return loop if self.settings.beside == "loop" else self.base
        given = {"powerpaint": self.settings.powerpaint, "lama": self.settings.lama}
        if name in given and given[name] is None:
            raise UserError(f"it needs comparison.{name}; or leave it out of comparison.methods")
        return locations.absolute(given.get(name) or self.settings.sd_inpainting or self.base)
