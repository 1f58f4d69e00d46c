"""A generator's model in training: made anew or opened, and written as a folder with its card at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch

from p2i_ray.diffusion.model import card
from p2i_ray.diffusion.step import recompute_activations
from p2i_ray.generators import folder
from p2i_ray.generators.base import load_base
from p2i_ray.generators.categories import Categories
from p2i_ray.generators.category import CategoryGenerator
from p2i_ray.generators.generator import Generator
from p2i_ray.generators.identifiers import Identifiers
from p2i_ray.generators.learner import GeneratorRecord, Learner
from p2i_ray.generators.personality import PersonalityGenerator
from p2i_ray.generators.step import GeneratorModel, LossSettings, Rates

if TYPE_CHECKING:
    from p2i_ray.config import TrainConfig
    from p2i_ray.config.generators import GeneratorsConfig
    from p2i_ray.diffusion.model.loading import Parts
    from p2i_ray.diffusion.training.job import TrainingJob

LAST = 50  # steps whose mean the card gives


def build(learner: Learner, job: TrainingJob) -> tuple[Parts, GeneratorModel]:
    """The base's parts, and the model with the generator that learns and the one beside it, if there is one."""
    settings = learner.settings
    parts = load_base(job.base, job.diffusion, settings)
    generators = folder.load_generators(job.base, parts, settings)
    if learner.kind not in generators:
        generators[learner.kind] = new_generator(learner, parts, seed=job.seed, beside=generators)
    ordered = {str(kind): generators[kind] for kind in ("category", "personality") if kind in generators}
    if isinstance(opened := ordered.get("category"), CategoryGenerator) and learner.kind == "category":
        opened.categories = Categories(learner.categories)  # the same ones, with these rows' numbers
    if job.settings.gradient_checkpointing:
        recompute_activations(parts)
        for generator in ordered.values():
            generator.copy.enable_gradient_checkpointing()
    model = GeneratorModel(parts, ordered, loss_settings(settings, job.settings), trained=(learner.kind,))
    return parts, model.train()


def new_generator(learner: Learner, parts: Parts, *, seed: int, beside: dict[str, Generator]) -> Generator:
    """A new generator, which changes nothing yet; beside another one it takes that one's P_fg, which both read."""
    settings = learner.settings
    for other in beside.values():
        settings = settings.model_copy(update={"product_prompt": cast(Any, other).templates.product})
    if learner.kind == "personality":
        return PersonalityGenerator.make(parts, settings, seed=seed)
    return CategoryGenerator.make(parts, settings, Categories(learner.categories), seed=seed)


def loss_settings(settings: GeneratorsConfig, training: TrainConfig) -> LossSettings:
    """The settings of the loss, and of learning from it."""
    return LossSettings(
        min_snr_gamma=training.min_snr_gamma,
        rare_below=settings.rare_below,
        rare_weight=settings.rare_weight,
        rates=Rates(copy=settings.lr_copy, identifiers=settings.lr_identifiers),
    )


def save(learner: Learner, job: TrainingJob, weights: dict[str, torch.Tensor], curve: list[GeneratorRecord]) -> None:
    """Write the generator's folder, with training.json and a card.

    Args:
        learner: the generator.
        job: the training.
        weights: all that learned, by name.
        curve: its steps.
    """
    prefix = f"denoiser.generators.{learner.kind}."
    own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    _, model = build(learner, job)  # for its small parts: the weights are laid over
    generator: Generator = model.generator(learner.kind)
    table = own.pop("identifiers.weight", None)
    if isinstance(generator, PersonalityGenerator) and generator.tokens is not None:
        names = [name for name in own if name.startswith("tokens.")]
        generator.tokens.take({name.removeprefix("tokens."): own.pop(name) for name in names})
    generator.copy.load_state_dict({name.removeprefix("copy."): value for name, value in own.items()}, strict=True)
    if isinstance(generator, CategoryGenerator) and table is not None:
        count, tokens = generator.identifiers.count, generator.identifiers.tokens
        generator.identifiers = Identifiers(count, tokens, table.reshape(count, tokens, -1))
    training = {
        "kind": learner.kind,
        "seed": job.seed,
        "rows": job.rows,
        "settings": job.settings.model_dump(mode="json"),
        "generators": learner.settings.model_dump(mode="json"),
        "steps": [step._asdict() for step in curve],
    }
    folder.save(
        generator,
        job.out,
        made_from=job.base,
        base_prompt=learner.settings.base_prompt,
        beside=learner.settings.personality if learner.kind == "category" else learner.settings.category,
        files={card.RECORD: card.dump(training), "README.md": _card(learner, job, generator, curve)},
    )


def _card(learner: Learner, job: TrainingJob, generator: Generator, curve: list[GeneratorRecord]) -> str:
    """README.md, as the Hugging Face hub shows it."""
    last = curve[-LAST:]
    noise = sum(step.noise for step in last) / len(last)
    sees = {
        "category": "Paints the background that is usual in a product's category; nobody writes a prompt.",
        "personality": "Paints a background in the style of one reference picture.",
    }[learner.kind]
    words = f"P_fg `{cast(Any, generator).templates.product}`"
    if isinstance(generator, CategoryGenerator):
        words += f", P_bg `{generator.templates.background}` and {generator.identifiers.tokens} learned tokens"
        words += f" for each of {len(generator.categories)} categories"
    learning = {"learning rate of the copy": learner.settings.lr_copy}
    if learner.kind == "category":
        learning["learning rate of the identifiers"] = learner.settings.lr_identifiers
    rates = "\n".join(f"| {name} | {rate:g} |" for name, rate in learning.items())
    return f"""---
library_name: diffusers
pipeline_tag: image-to-image
tags: [controlnet, product-photography]
---

# {learner.kind.capitalize()}-wise background generator

{sees} A trainable copy of the encoder of `{card.public_name(job.base)}`, which stays as it is: it is needed beside
this folder. `ControlNetModel.from_pretrained` opens the weights; the attention that knows where the product is and the
prompts ({words}) are p2i_ray's: `generators.{learner.kind}=this/folder`.

| setting | value |
|---|---|
| steps, rows, global batch | {len(curve)}, {job.rows}, {job.settings.batch_size} |
{rates}
| prompts dropped for guidance | {job.settings.prompt_dropout:.0%} |
| arithmetic | {job.settings.mixed_precision} |
| noise, mean of the last {len(last)} steps | {noise:.4f} |

It knows the kinds of pictures that it was trained on. Look at what it paints before you publish it.
"""
