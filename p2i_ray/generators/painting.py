"""Painting with generators, as a method: checked before anything starts, and loaded on a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from p2i_ray.config import DiffusionConfig, ImageConfig
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.data.images import ImageError, encoded
from p2i_ray.data.schema import REFERENCES
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.errors import UserError
from p2i_ray.generators import folder_check, record_file, references
from p2i_ray.generators.request import GeneratorRequest, Reference, fitted
from p2i_ray.storage import fingerprints, locations

if TYPE_CHECKING:
    from p2i_ray.diffusion.sampling.painting_method import LoadedMethod
    from p2i_ray.diffusion.sampling.sampler import SamplerOptions
    from p2i_ray.generators.categories import Categories

PICTURE, CUTOUT = REFERENCES.names
PAINTED_AS = "painted_as"  # column: the trained category that stood in for a row's own
OWN = ("image", "cutout")  # the columns of a row that is its own reference


@dataclass(frozen=True)
class GeneratorPainting:
    """A base with generators beside it: a sampling.painting_method.PaintingMethod.

    Attributes:
        diffusion: token, prompt and whether a plain base is to be widened.
        settings: the generators' folders, and how they are used.
        reference: of all rows (none: each row has its own).
        files: locations that the reference was read from.
        columns: of rows, with each row's own reference and its cutout, OWN if that is the row itself; none where there
            is one for all, or none is needed.
    """

    diffusion: DiffusionConfig
    settings: GeneratorsConfig
    reference: Reference | None = field(default=None, compare=False)
    files: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """See PaintingMethod."""
        kinds = [kind for kind in ("category", "personality") if getattr(self.settings, kind) is not None]
        return "+".join(["product2img", *kinds])

    @property
    def parts(self) -> list[str]:
        """Locations of what is needed beside the model, which all nodes must reach."""
        return list(self.anywhere().settings.folders.values())

    def anywhere(self) -> GeneratorPainting:
        """See PaintingMethod."""
        absolute = {name: locations.absolute(part) for name, part in self.settings.folders.items()}
        return replace(self, settings=self.settings.model_copy(update=absolute))

    def made_with(self) -> dict[str, Any]:
        """See PaintingMethod."""
        read = (*self.parts, *self.files)
        return {
            "generators": self.settings.model_dump(mode="json"),
            "generators_files": {one: fingerprints.signature(fingerprints.states(one)) for one in read},
            "columns": list(self.columns),
        }

    def request(self, plain: PaintRequest, row: Mapping[str, Any], image: ImageConfig) -> GeneratorRequest:
        """See PaintingMethod; a row whose category or reference the generators can't use is not painted."""
        try:
            if self._categories is not None:
                self._categories.find(row["category"], unknown=self.settings.unknown_category)
            found = () if self.settings.personality is None else (self._reference(row, plain.mask.shape, image),)
        except UserError as error:
            raise ImageError(str(error)) from None
        return GeneratorRequest(**plain.__dict__, category=row["category"] or None, references=found)

    @property
    def written(self) -> tuple[str, ...]:
        """See PaintingMethod."""
        return () if self.settings.category is None else (PAINTED_AS,)

    def notes(self, row: Mapping[str, Any]) -> dict[str, str | None]:
        """See PaintingMethod."""
        if self._categories is None:
            return {}
        return {PAINTED_AS: self._categories.stand_in(row["category"], unknown=self.settings.unknown_category)}

    @cached_property
    def _categories(self) -> Categories | None:
        """Those of the category-wise generator."""
        return None if self.settings.category is None else record_file.categories(self.settings.category)

    def _reference(self, row: Mapping[str, Any], shape: tuple[int, ...], image: ImageConfig) -> Reference:
        """A row's reference in the size of what is painted."""
        if self.reference is not None:
            return fitted((self.reference,), shape)
        names = OWN if self.columns == OWN else (PICTURE, CUTOUT)
        picture, cutout = (encoded(row.get(name)) for name in names)
        if picture is None:
            raise ImageError("reference: the row has none, and generators.personality needs one")
        return fitted((references.open_reference(picture, cutout, image),), shape)

    def check(self, model: str, image: ImageConfig) -> None:
        """See PaintingMethod."""
        from p2i_ray.diffusion.model import validation
        from p2i_ray.generators.base import check_base

        if self.settings.category is None and self.settings.personality is None:
            raise UserError("give generators.category, generators.personality or both: the folders of generators")
        check_base(model, self.diffusion, self.settings, image)
        validation.check_prompt(model, self.diffusion)
        if self.settings.category is not None:
            folder_check.check(self.settings.category, "category", model, self.settings)
        if self.settings.personality is not None:
            folder_check.check(self.settings.personality, "personality", model, self.settings)
        record_file.warn_of_partners(self.settings)

    def load(self, model: str, options: SamplerOptions) -> LoadedMethod:
        """See PaintingMethod."""
        from p2i_ray.generators.sampler import GeneratorSampler

        return GeneratorSampler(model, self.diffusion, options, settings=self.settings)
