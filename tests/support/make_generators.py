"""Generators beside the tiny models, and batches for them, the same in every process."""

from __future__ import annotations

from typing import Any

import torch

from p2i_ray.config import DiffusionConfig
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.diffusion.model.loading import Parts
from p2i_ray.diffusion.step import draw
from p2i_ray.generators.base import load_base
from p2i_ray.generators.categories import Categories, Category
from p2i_ray.generators.category import CategoryGenerator
from p2i_ray.generators.generator import Generator
from p2i_ray.generators.personality import PersonalityGenerator
from p2i_ray.generators.prompts import GeneratorPrompts, Templates
from p2i_ray.generators.step import GeneratorBatch, GeneratorModel, LossSettings

# The tiny tokenizer knows few words, and a prompt has 16 tokens.
SETTINGS = GeneratorsConfig(product_prompt="a {category}", background_prompt="in", tokens=2)
CATEGORIES = Categories(
    [Category("cup", "ware", 100), Category("round cup", "ware", 3), Category("back", "other", 1), Category("bag")]
)
TEMPLATES = Templates(SETTINGS.product_prompt, SETTINGS.background_prompt)
BOTH = ("category", "personality")


def make_generators(
    parts: Parts, kinds: tuple[str, ...] = BOTH, *, settings: GeneratorsConfig = SETTINGS, noise: float = 0.1
) -> dict[str, Generator]:
    """Generators whose copies have moved away from the base by random steps; 0: they are new."""
    found: dict[str, Generator] = {}
    if "category" in kinds:
        found["category"] = CategoryGenerator.make(parts, settings, CATEGORIES, seed=1)
    if "personality" in kinds:
        found["personality"] = PersonalityGenerator.make(parts, settings, seed=2)
    generator = torch.Generator().manual_seed(3)
    for made in found.values():
        with torch.no_grad():
            for parameter in made.parameters():
                parameter += noise * torch.randn(parameter.shape, generator=generator)
    return found


def make_model(
    diffusion: DiffusionConfig,
    kinds: tuple[str, ...] = BOTH,
    *,
    settings: GeneratorsConfig = SETTINGS,
    loss: LossSettings | None = None,
    **options: Any,
) -> tuple[Parts, GeneratorModel]:
    """The tiny base with generators, ready for a step."""
    parts = load_base(diffusion.base, diffusion, settings)
    generators = make_generators(parts, kinds, settings=settings, noise=options.pop("noise", 0.1))
    return parts, GeneratorModel(parts, generators, loss, **options)


def make_batch(parts: Parts, categories: tuple[int, ...] = (0, 1, 0, 2), *, dropout: float = 0.4) -> GeneratorBatch:
    """Rows whose features are random; pictures of 16 x 16 pixels, latents of 8 x 8."""
    count, generator = len(categories), torch.Generator().manual_seed(5)
    known = hasattr(parts.text_encoders[0].get_input_embeddings(), "first")  # whether there are identifiers
    prompts = GeneratorPrompts(parts, TEMPLATES, 2 if known else 0)
    names = [CATEGORIES.all[place].name for place in categories]
    product = prompts.product(names)
    masks = (torch.rand(2, count, 1, 16, 16, generator=generator) < 0.4).float()
    pictures = torch.rand(2, count, 3, 16, 16, generator=generator)
    moments = torch.randn(2, count, 8, 8, 8, generator=generator)
    draws = draw(7, 3, range(count), latent=(4, 8, 8), timesteps=1000, prompt_dropout=dropout)
    return GeneratorBatch(
        *moments,
        mask=1 - masks[0][..., ::2, ::2],
        product_mask=masks[0],
        base_ids=prompts.whole(names, categories) if known else product,
        product_ids=product,
        **draws._asdict(),
        background_ids=prompts.background(categories) if known else None,
        categories=torch.tensor(categories),
        image=pictures[0],
        reference=pictures[1],
        reference_mask=masks[1],
    )
