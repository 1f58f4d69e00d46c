"""One setting chooses what a training trains: the model itself, by Eq. 5, or a generator beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p2i_ray.config import TrainConfig
from p2i_ray.config.generators import GeneratorName, GeneratorsConfig
from p2i_ray.diffusion.training.job import Objective
from p2i_ray.diffusion.training.product2img import Product2ImgObjective
from p2i_ray.errors import UserError
from p2i_ray.storage import locations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from p2i_ray.generators.row_categories import RowCategories

FILES = ("category", "personality", "categories", "reference_clip")  # settings that are locations


def objective_of(
    generator: GeneratorName, generators: GeneratorsConfig, train: TrainConfig, counts: Mapping[str, int] | None = None
) -> Objective:
    """The training's objective, and its data.

    Args:
        generator: what is trained.
        generators: its settings, and the generator beside it.
        train: the settings that all trainings share.
        counts: rows by category, for a category-wise generator; none: it has no categories yet, and is to be checked.

    Raises:
        UserError: the rows have no categories, or others than the settings list; the file of categories can't be used;
            or what is given would not be used.
    """
    if generators.categories is not None and (generator != "category" or generators.category is not None):
        why = (
            "goes on with its own; leave one of the two out"
            if generator == "category"
            else "has none; set generator=category, or leave it out"
        )
        other = "generators.category" if generator == "category" else f"generator={generator}"
        raise UserError(f"generators.categories={generators.categories} is given, and {other} {why}")
    if generator == "product2img":
        for kind in ("category", "personality"):
            if getattr(generators, kind) is not None:
                raise UserError(
                    f"generators.{kind} is given, and generator=product2img trains no generator; set "
                    f"generator=category or generator=personality, or leave generators.{kind} out"
                )
        return Product2ImgObjective(train.contrastive_weight)
    from p2i_ray.generators import category_file
    from p2i_ray.generators.category_list import categories_of, check_rare
    from p2i_ray.generators.objective import GeneratorObjective

    settings = _absolute(generators)
    if generator == "personality" or counts is None:
        if generator == "category" and settings.category is None:
            check_rare([] if settings.categories is None else category_file.read(settings.categories), settings)
        return GeneratorObjective(generator, settings)
    return GeneratorObjective(generator, settings, categories_of(counts, settings))


def check_rows(generator: GeneratorName, generators: GeneratorsConfig, found: RowCategories) -> None:
    """Check before anything is encoded that the rows have categories that a category-wise generator can take.

    Args:
        generator: what is trained.
        generators: its settings, and the generator beside it.
        found: of the rows; see `reads_categories`.

    Raises:
        UserError: rows have no category, or one that file or folder doesn't have.
    """
    from p2i_ray.generators.category_list import categories_of

    if reads_categories(generator, generators):
        categories_of(found.counts, _absolute(generators), found.without)


def reads_categories(generator: GeneratorName, generators: GeneratorsConfig) -> bool:
    """Whether a training needs each row's category: a category-wise generator learns, or is beside what learns."""
    return generator == "category" or (generator == "personality" and generators.category is not None)


def _absolute(generators: GeneratorsConfig) -> GeneratorsConfig:
    given = {name: getattr(generators, name) for name in FILES}
    return generators.model_copy(
        update={name: locations.absolute(place) for name, place in given.items() if place is not None}
    )
