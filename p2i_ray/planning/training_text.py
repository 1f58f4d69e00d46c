"""The plan of a training as text, for `jobs/train.py --plan`."""

from __future__ import annotations

from typing import NamedTuple

from p2i_ray.config import DiffusionConfig, PlanConfig, TrainConfig
from p2i_ray.config.generators import GeneratorName, GeneratorsConfig
from p2i_ray.diffusion.model import training_checks, validation
from p2i_ray.errors import UserError
from p2i_ray.planning import training_memory as plan
from p2i_ray.planning.architectures import PUBLISHED, Architecture, of

GIB = 2**30
RESERVE = 0.1  # fraction of the GPU's memory for what isn't counted


class TrainingPlan(NamedTuple):
    """A training's start and needs, before rates and prices are taken for granted."""

    location: str  # of the model folder
    architecture: Architecture
    there: bool  # if not, the published architecture stands in for it
    widened: bool  # to an inpainting model's input channels
    counted: plan.Sizes
    needed: plan.TrainingMemory
    generator: GeneratorName = "product2img"  # what is trained


def work_out(
    location: str,
    diffusion: DiffusionConfig,
    settings: TrainConfig,
    resolution: int,
    *,
    generator: GeneratorName = "product2img",
    generators: GeneratorsConfig | None = None,
) -> TrainingPlan:
    """Count a training's parameters and bytes.

    Args:
        location: model folder to start from; where there is none, the published architecture stands in for it.
        diffusion: the token, and whether a plain model is to be widened.
        settings: of the training.
        resolution: side of the pictures, pixels.
        generator: what is trained.
        generators: its settings; needed unless it is the model itself.

    Raises:
        UserError: the model doesn't take pictures of this size, or can't be trained so.
    """
    architecture, there = of(location, diffusion)
    widened = there and validation.is_plain(location)
    if generator == "product2img":
        training_checks.check_lora(settings, widened)
    if resolution % architecture.pixels_per_latent:
        raise UserError(
            f"image.resolution={resolution} must be a multiple of {architecture.pixels_per_latent}, which a latent "
            "covers"
        )
    if generator != "product2img":
        from p2i_ray.planning import generator_memory

        assert generators is not None, "a generator has settings"
        counted, needed = generator_memory.need(
            architecture,
            settings,
            resolution,
            kind=generator,
            generators=generators,
            location=location if there else None,
        )
        plain = generators.base == "text_to_image"
        return TrainingPlan(
            location, architecture, there, widened and not plain, counted=counted, needed=needed, generator=generator
        )
    counted = plan.sizes(architecture, settings, diffusion.token)
    needed = plan.need(architecture, settings, resolution, diffusion.token)
    return TrainingPlan(location, architecture, there, widened, counted=counted, needed=needed)


def as_lines(
    planned: TrainingPlan, settings: TrainConfig, *, resolution: int, steps: int, assumed: PlanConfig
) -> list[str]:
    """Format the plan as lines of text.

    Args:
        planned: of these settings and this resolution.
        settings: of the training.
        resolution: side of the pictures, pixels.
        steps: optimizer steps.
        assumed: rate, price and memory that are taken for granted.
    """
    location, architecture, there, widened, counted, needed, generator = planned
    micro = settings.batch_size // (settings.num_workers * settings.gradient_accumulation_steps)
    where = "GPU" if settings.num_gpus else "CPU worker"
    return [
        f"model        {location}{', widened to 9 input channels' if widened else ''}"
        if there
        else f"model        {location} is not there; counted as {architecture.name}",
        _trained_line(counted, generator)
        + (f"; LoRA of rank {settings.lora_rank}, {counted.frozen:,} stay" if settings.lora_rank else ""),
        f"batch        {settings.batch_size} = {settings.num_workers} (workers) x "
        f"{settings.gradient_accumulation_steps} "
        "(micro-batches) "
        f"x {micro} images of {resolution} x {resolution}",
        "",
        f"memory a {where}, GiB; {settings.mixed_precision}, ZeRO stage {settings.zero_stage}, activations "
        + ("recomputed (train.gradient_checkpointing)" if settings.gradient_checkpointing else "kept"),
        *_memory_lines(needed, settings),
        *_verdict(needed, settings, assumed),
        "",
        *_cost_lines(
            plan.cost(architecture, settings, resolution=resolution, steps=steps, assumed=assumed)
            if generator == "product2img" or assumed.images_per_s is not None
            else None,
            settings,
            rate=plan.default_images_per_s(architecture, settings, resolution),
            by_pixels=architecture.family is PUBLISHED.family,
            resolution=resolution,
            steps=steps,
            assumed=assumed,
            what="CPUs" if generator == "product2img" else "generators",
        ),
    ]


def _trained_line(counted: plan.Sizes, generator: GeneratorName) -> str:
    if generator == "product2img":
        return f"trained      {counted.trained:,} parameters: UNet {counted.unet:,}, text encoder {counted.text:,}"
    identifiers = f", identifiers of 1,000 categories {counted.text:,}" if counted.text else ""
    return (
        f"trained      {counted.trained:,} parameters of a {generator}-wise generator: copy {counted.unet:,}"
        f"{identifiers}; {counted.frozen:,} stay"
    )


def _memory_lines(needed: plan.TrainingMemory, settings: TrainConfig) -> list[str]:
    sharded, live = settings.zero_stage == 3, f"{plan.LIVE:,}"
    gathered = f"whole weights while they are used: up to DeepSpeed's default of {live}" if sharded else "ZeRO-3 only"
    rows = [
        ("weights", needed.weights, "this worker's share" if sharded else "trained and frozen"),
        ("gathered", needed.gathered, gathered),
        ("optimizer", needed.optimizer, "float32 weights and AdamW's two moments; this worker's share"),
        ("EMA", needed.average, "float32, this worker's share" if needed.average else "none is kept"),
        ("gradients", needed.gradients, "float32 sums over micro-batches and workers"),
        ("ZeRO's bucket", needed.bucket, "in which gradients are reduced, with its copies"),
        ("activations", needed.activations, "at their highest, temporaries included"),
        ("update", needed.update, "at the optimizer's step, when activations are gone"),
    ]
    if needed.process:
        rows += [
            ("saving", needed.saving, "at the end: the whole model folder in float32"),
            ("process", needed.process, "Python and its libraries"),
            ("need", needed.peak, "process + weights + optimizer + EMA + the largest of (the rest, update, saving)"),
        ]
    else:
        rows += [("need", needed.peak, "weights + optimizer + EMA + the larger of (the rest, update)")]
    return [f"  {name:<14}{number / GIB:9.3f}  {note}".rstrip() for name, number, note in rows]


def _verdict(needed: plan.TrainingMemory, settings: TrainConfig, assumed: PlanConfig) -> list[str]:
    outside = "CUDA's context, communication, convolution workspaces and fragmentation come on top: leave 10 %"
    lines = [f"  not counted: {outside}"] if settings.num_gpus else []
    if assumed.gpu_memory_gib is None:
        return lines
    sharing = max(1, int(1 / settings.num_gpus)) if settings.num_gpus else 1
    total, have = needed.peak * sharing / GIB, assumed.gpu_memory_gib
    who = f"{sharing} workers a GPU need" if sharing > 1 else "it needs"
    if total <= (1 - RESERVE) * have:
        return [*lines, f"  fits: {who} {total:.1f} of {have:g} GiB"]
    remedy = "raise train.gradient_accumulation_steps, set train.gradient_checkpointing=true"
    if settings.zero_stage < 2:
        remedy += ", raise train.zero_stage"
    if needed.update > needed.step:
        remedy = "the optimizer's step is what doesn't fit: use more workers with train.zero_stage=2"
    word = "TIGHT" if total <= have else "DOES NOT FIT"
    return [*lines, f"  {word}: {who} {total:.1f} of {have:g} GiB; {remedy}"]


def _cost_lines(
    expected: plan.Cost | None,
    settings: TrainConfig,
    *,
    rate: float,
    by_pixels: bool,
    resolution: int,
    steps: int,
    assumed: PlanConfig,
    what: str,
) -> list[str]:
    images = f"images       {steps * settings.batch_size:,} = {steps:,} steps x {settings.batch_size}"
    if expected is None:
        return [images, f"hours        unknown: no rate is published for {what}; give plan.images_per_s (a worker)"]
    lines = [images, f"hours        {expected.hours:.2f} at {expected.images_per_s:.1f} images/s"]
    if settings.num_gpus:
        lines.append(f"US dollars   {expected.usd:.2f} on {settings.num_workers * settings.num_gpus:g} x GPU")
    lines += ["assumed:"]
    if assumed.images_per_s is not None:
        lines.append(f"  {assumed.images_per_s:g} images/s each, as given (plan.images_per_s)")
    else:
        scaled = f", scaled to {resolution} by pixels" if resolution != plan.A100_RESOLUTION else ""
        if not by_pixels:
            scaled = f" with Stable Diffusion 2, scaled to {resolution} and this model by operations of the denoiser"
        slower = ", x 3/4 for recomputing" if settings.gradient_checkpointing else ""
        lines.append(f"  {rate:.1f} images/s and GPU: MosaicML published 36 on an A100 at 512{scaled}{slower};")
        lines.append("  another card, and training the text encoder, change that: measure, and give plan.images_per_s")
    if settings.num_gpus:
        lines.append(f"  {assumed.usd_per_gpu_hour:g} US dollars a GPU hour (plan.usd_per_gpu_hour; see --help)")
    return lines
