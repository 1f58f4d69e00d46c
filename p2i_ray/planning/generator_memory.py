"""Estimate what training a generator needs, as training_memory.py does for the model: on its very train step."""

from __future__ import annotations

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from torch._subclasses.fake_tensor import FakeTensorMode

from p2i_ray.config import TrainConfig
from p2i_ray.config.generators import CATEGORY, GeneratorsConfig
from p2i_ray.diffusion.model.loading import Parts
from p2i_ray.diffusion.step import draw, recompute_activations
from p2i_ray.generators.base import narrow
from p2i_ray.generators.categories import Categories, Category
from p2i_ray.generators.category import CategoryGenerator
from p2i_ray.generators.generator import Generator, Kind
from p2i_ray.generators.personality import PersonalityGenerator
from p2i_ray.generators.prompts import GeneratorPrompts
from p2i_ray.generators.step import GeneratorBatch, GeneratorModel, trained_groups
from p2i_ray.planning.architectures import Architecture
from p2i_ray.planning.full_size import allocate, build, build_scheduler, cast_parameters, tokenizers
from p2i_ray.planning.training_memory import DTYPES, Sizes, TrainingMemory, peak_of_step, states

CATEGORIES = 1000  # that are counted: how many the rows have is not known yet


def need(
    architecture: Architecture,
    settings: TrainConfig,
    resolution: int,
    *,
    kind: Kind,
    generators: GeneratorsConfig,
    location: str | None = None,
) -> tuple[Sizes, TrainingMemory]:
    """Count parameters, `unet` being the copy's and `text` the identifiers', and work out what a worker needs.

    Args:
        architecture: the base.
        settings: of the training.
        resolution: side of the pictures, pixels.
        kind: of the generator that learns.
        generators: its settings. One beside it is not counted.
        location: of the base's folder, whose tokenizers read the prompts (none: it isn't there, and any prompt fits).

    Raises:
        UserError: the prompts are too long for the base.
    """
    scheduler = build_scheduler(architecture)
    if location is None:
        # The stand-in tokenizer reads bytes, of which a prompt has many times more than a real one's tokens.
        generators = generators.model_copy(update={"product_prompt": CATEGORY, "background_prompt": ""})
    with torch.device("meta"):
        parts, model = _model(architecture, scheduler, kind, generators)
    if location is not None:
        parts.tokenizers = tokenizers(location, architecture)
    groups = trained_groups(model)
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    trained = {name: sum(p.numel() for p in group) for name, group in groups.items()}
    counted = Sizes(
        unet=trained["copy"],
        text=trained.get("identifiers", 0),
        frozen=frozen,
        buffers=0,
        whole=frozen + sum(trained.values()) + sum(p.numel() for p in parts.vae.parameters()),
    )
    with FakeTensorMode():
        model.schedule = DDPMScheduler.from_config(scheduler.config)
        allocate(model)
        cast_parameters(model, DTYPES[settings.mixed_precision])
        if settings.gradient_checkpointing:
            recompute_activations(parts)
            model.generator(kind).copy.enable_gradient_checkpointing()
        rows = settings.batch_size // settings.num_workers
        batch = random_batch(parts, model, kind, rows=rows, resolution=resolution)
        activations = peak_of_step(model, batch, settings.gradient_accumulation_steps)
    return counted, states(counted, settings)._replace(activations=activations)


def random_batch(parts: Parts, model: GeneratorModel, kind: Kind, *, rows: int, resolution: int) -> GeneratorBatch:
    """Make a batch of the train step with noise for features and pictures.

    Args:
        parts: the base.
        model: with the generator beside it.
        kind: of the generator.
        rows: B.
        resolution: side of the pictures, pixels.
    """
    side = resolution // parts.pixels_per_latent
    names, categories = ["product"] * rows, list(range(rows))
    generator = model.generator(kind)
    own = kind == "category"
    prompts = GeneratorPrompts(parts, generator.templates, generator.identifiers.tokens if own else 0)
    product = prompts.product(names)
    levels = int(parts.scheduler.config["num_train_timesteps"])
    draws = draw(0, 0, range(rows), latent=(4, side, side), timesteps=levels, prompt_dropout=0.1)
    picture, mask = torch.rand(rows, 3, resolution, resolution), torch.ones(rows, 1, resolution, resolution)
    return GeneratorBatch(
        image_moments=torch.randn(rows, 8, side, side),
        product_moments=torch.randn(rows, 8, side, side),
        mask=torch.ones(rows, 1, side, side),
        product_mask=mask,
        base_ids=prompts.whole(names, categories) if own else product,
        product_ids=product,
        **draws._asdict(),
        background_ids=prompts.background(categories) if own else None,
        categories=torch.tensor(categories) if own else None,
        image=picture if own else None,
        reference=None if own else picture,
        reference_mask=None if own else mask,
    )


def _model(
    architecture: Architecture, scheduler: EulerAncestralDiscreteScheduler, kind: Kind, generators: GeneratorsConfig
) -> tuple[Parts, GeneratorModel]:
    parts = build(architecture, None, scheduler)
    if generators.base == "text_to_image":
        parts.widened = True  # as the loader has made it
        narrow(parts)
    made: Generator
    if kind == "category":
        categories = Categories([Category(f"category {number}") for number in range(CATEGORIES)])
        made = CategoryGenerator.make(parts, generators, categories, seed=0)
    else:
        # Without the CLIP of reference tokens, whose weights a plan doesn't read; it is small beside the base.
        made = PersonalityGenerator.make(parts, generators.model_copy(update={"reference_clip": None}), seed=0)
    return parts, GeneratorModel(parts, {kind: made})
