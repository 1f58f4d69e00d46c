"""The subjects of the tables: arms after a round, and methods; each is evaluated on splits with several seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from p2i_ray.comparison.arms import Arm
from p2i_ray.config.comparison import REFERENCE, ComparisonConfig

SENSITIVITY: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("white around the cutout", {"evaluate.fill": "white"}),
    ("black around the cutout", {"evaluate.fill": "black"}),
    ("no guidance", {"generate.guidance_scale": 1.0}),
    ("twice the guidance", {}),  # which depends on the settings
    ("product not pasted back", {"generate.paste_product": False}),
)
TITLES = {
    "sd_inpainting": "SD-Inpainting",
    "controlnet": "ControlNet-Inpainting",
    "ip_adapter": "IP-Adapter",
    "powerpaint": "PowerPaint",
    "lama": "LaMa",
    "category": "Category-Wise Generator",
    "personality": "Personality-Wise Generator",
    "category_personality": "both generators",
}


@dataclass(frozen=True)
class Subject:
    """One thing that is evaluated.

    Attributes:
        name: of the arm or the method.
        number: the round after which the arm is looked at; 0: a method.
        variant: of the settings, for the table of sensitivity; empty: as they are.
        changed: the settings that it has otherwise.
    """

    name: str
    number: int = 0
    variant: str = ""
    changed: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> str:
        """Its name in folders and files."""
        parts = [
            self.name,
            *([f"round-{self.number}"] if self.number else []),
            *([self.variant] if self.variant else []),
        ]
        return ".".join(part.replace(" ", "-") for part in parts)


def of_arms(arms: Sequence[Arm], settings: ComparisonConfig, rounds: int) -> Iterator[tuple[Subject, str]]:
    """Arms with the splits on which they are evaluated.

    Every arm's last model is on the first split, those of Table 1 on all. The rounds of the loop and of the arm without
    selection are Table 3, round 1 with and without CBA is Table 2.
    """
    first, *others = settings.splits
    for arm in arms:
        yield Subject(arm.name, rounds), first
        if arm.name in (REFERENCE, "epbd_ft"):
            yield from ((Subject(arm.name, rounds), split) for split in others)
        earlier = {REFERENCE: range(1, rounds), "no_filter": range(1, rounds), "no_cba": range(1, min(2, rounds))}
        yield from ((Subject(arm.name, number), first) for number in earlier.get(arm.name, ()))


def of_methods(settings: ComparisonConfig, seed: int) -> Iterator[tuple[Subject, str]]:
    """Methods with the splits on which they are evaluated with a seed."""
    methods = [method for method in settings.methods if settings.runs(method, seed)]
    yield from ((Subject(method), split) for method in methods for split in settings.splits)


def variants(settings: ComparisonConfig, rounds: int, guidance: float, seed: int) -> Iterator[tuple[Subject, str]]:
    """The loop's last model of a seed under choices that the paper leaves open."""
    if not settings.sensitivity or not settings.runs("sensitivity", seed):
        return
    for variant, changed in SENSITIVITY:
        own = changed or {"generate.guidance_scale": 2 * guidance}
        yield Subject(REFERENCE, rounds, variant, own), settings.splits[0]
