"""The generator that learns, and the record of its steps; without torch, since the driver has them too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.generators.categories import Category

if TYPE_CHECKING:
    from p2i_ray.generators.generator import Kind


class GeneratorRecord(NamedTuple):
    """One optimizer step, over the global batch."""

    step: int  # from 1
    noise: float  # mean squared error of the predicted noise, Eq. 3
    pull: float  # of rare categories to their parents' means, before its weight
    total: float
    lr: float  # of the copy
    grad_norm: float  # L2, before clipping


@dataclass(frozen=True)
class Learner:
    """The generator that learns.

    Attributes:
        kind: of it.
        settings: of it; where they name a folder of its kind it goes on from there, and one of the other kind is beside
            it, frozen.
        categories: of a category-wise generator, in the order of their identifiers.
    """

    kind: Kind
    settings: GeneratorsConfig
    categories: tuple[Category, ...] = ()
