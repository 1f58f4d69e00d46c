"""One setting chooses what a training trains: the model itself, by Eq. 5, or a generator beside it."""

from __future__ import annotations

from collections.abc import Mapping

from p2i_ray.config import TrainConfig
from p2i_ray.config.generators import GeneratorName, GeneratorsConfig
from p2i_ray.diffusion.training.job import Objective
from p2i_ray.diffusion.training.product2img import Product2ImgObjective
from p2i_ray.errors import UserError
from p2i_ray.storage import locations

FILES = ("category", "personality", "categories", "reference_clip")  # settings that are locations


def objective_of(
    generator: GeneratorName, generators: GeneratorsConfig, train: TrainConfig, counts: Mapping[str, int] | None = None
) -> Objective:
    """What is trained, and on what.

    Args:
        generator: what is trained.
        generators: its settings, and the generator beside it.
        train: the settings that all trainings share.
        counts: rows by category, for a category-wise generator; none: it has no categories yet, and is to be checked.

    Raises:
        UserError: the rows have no categories, or others than the settings list; or a generator is given where none is
            trained.
    """
    if generator == "product2img":
        for kind in ("category", "personality"):
            if getattr(generators, kind) is not None:
                raise UserError(
                    f"generators.{kind} is given, and generator=product2img trains no generator; set "
                    f"generator=category or generator=personality, or leave generators.{kind} out"
                )
        return Product2ImgObjective(train.contrastive_weight)
    from p2i_ray.generators.category_list import categories_of
    from p2i_ray.generators.objective import GeneratorObjective

    given = {name: getattr(generators, name) for name in FILES}
    settings = generators.model_copy(
        update={name: locations.absolute(place) for name, place in given.items() if place is not None}
    )
    if generator == "personality" or counts is None:
        return GeneratorObjective(generator, settings)
    return GeneratorObjective(generator, settings, categories_of(counts, settings))
