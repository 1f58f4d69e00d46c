"""What a training run needs before anyone pays for it: memory a GPU, hours, dollars.

The step's own memory is measured on the very train step (step.py), run on fake tensors, which have shapes and no
memory; the rest is counted. No weights, data, GPU or Ray are needed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from p2i_ray import storage
from p2i_ray.config import PlanConfig, TrainConfig
from p2i_ray.diffusion import training
from p2i_ray.diffusion.folder import Parts
from p2i_ray.diffusion.full_size import PUBLISHED, Architecture, build, cast_parameters, random_batch, read
from p2i_ray.diffusion.live import LiveBytes
from p2i_ray.diffusion.step import Batch, Product2Img, recompute_activations
from p2i_ray.errors import UserError

# mosaicml/diffusion's README: 290 images/s on eight A100 at 512 pixels, Stable Diffusion 2's UNet on cached latents.
# Per pixel that is 145 at 256, where they publish 1,100 / 8 = 138.
A100_IMAGES_PER_S = 36.0
A100_RESOLUTION = 512
RECOMPUTING = 3 / 4  # forward, forward again, backward: 4 units of work instead of 3
REDUCE_BUCKET = 500_000_000  # elements; DeepSpeed's default zero_optimization.reduce_bucket_size
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TOKEN = "<background>"
NAME = "Stable Diffusion 1.5's inpainting model"
GIB = 2**30


class Sizes(NamedTuple):
    """Numbers of values."""

    unet: int
    text: int  # trained: all of the text encoder but its token embeddings, of which one row is trained
    frozen: int  # parameters that don't learn
    buffers: int  # token embeddings and CLIP's projection, float32 always

    @property
    def trained(self) -> int:
        """What the optimizer has."""
        return self.unet + self.text


class Need(NamedTuple):
    """Bytes a worker, by part."""

    weights: int  # as the step uses them
    optimizer: int  # float32 master weights, where the step's are not these, and AdamW's two moments
    gradients: int
    bucket: int  # in which ZeRO gathers gradients before it reduces them
    activations: int  # the most at once between forward and backward pass, temporaries included
    update: int  # at the optimizer's step: gradients in float32, and AdamW's temporary

    @property
    def peak(self) -> int:
        """The most at once; when the optimizer steps, activations are gone and gradients converted."""
        return self.weights + self.optimizer + max(self.gradients + self.bucket + self.activations, self.update)


class Cost(NamedTuple):
    """Of the training step alone: without starting, encoding and checkpoints."""

    images: int
    images_per_s: float  # of all GPUs together
    hours: float
    usd: float


def sizes(architecture: Architecture, settings: TrainConfig) -> Sizes:
    """The parameters of a model, as training has it."""
    with torch.device("meta"):
        model, _ = _model(architecture, settings)
    text = [(p.numel(), p.requires_grad) for p in model.text_encoder.parameters()]
    return Sizes(
        unet=sum(p.numel() for p in model.unet.parameters()),
        text=sum(number for number, learns in text if learns),
        frozen=sum(number for number, learns in text if not learns),
        buffers=sum(b.numel() for b in model.buffers() if b.is_floating_point()),
    )


def need(architecture: Architecture, settings: TrainConfig, resolution: int) -> Need:
    """What a worker needs, in DeepSpeed's layout.

    Args:
        architecture: the model.
        settings: of the training.
        resolution: side of the pictures, pixels.
    """
    counted = sizes(architecture, settings)
    trained, each = counted.trained, DTYPES[settings.dtype].itemsize
    stage = settings.zero_stage
    own = trained if stage == 0 else -(-trained // settings.workers)  # whose states this worker has
    master = 0 if stage == 0 and settings.dtype == "fp32" else 4
    held = own if stage == 2 else trained  # whose gradients
    if stage == 2 and settings.accumulation > 1:
        held *= 2  # the sum over earlier micro-batches, and the newest one's
    return Need(
        weights=each * (trained + counted.frozen) + 4 * counted.buffers,
        optimizer=(master + 8) * own,
        gradients=each * held,
        bucket=each * REDUCE_BUCKET if stage else 0,
        activations=activations(architecture, settings, resolution),
        update=(4 + 4) * own,
    )


def activations(architecture: Architecture, settings: TrainConfig, resolution: int) -> int:
    """The most bytes that a step's tensors take at once, beside parameters, their gradients and buffers.

    It is the step's last micro-batch that counts: it has the contrastive terms, over all of the worker's rows.
    Attention is counted as torch's fused kernels save it (inputs, output and a number a row, no matrix).
    """
    rows = settings.batch_size // settings.workers
    with FakeTensorMode():
        model, parts = _model(architecture, settings)
        cast_parameters(model, DTYPES[settings.dtype])
        if settings.gradient_checkpointing:
            recompute_activations(parts)
        batch = random_batch(parts, TOKEN, rows, resolution, len(model.projection))
        return peak_of_step(model, batch, settings.accumulation)


def peak_of_step(model: Product2Img, local: Batch, micro_batches: int) -> int:
    """Run a step's last micro-batch, forward and backward, and return the most bytes its tensors took at once.

    Gradients of parameters are dropped as soon as they are complete. Works on fake tensors and on real ones.
    """
    *_, micro = [local] if micro_batches == 1 else local.micro_batches(micro_batches)
    with LiveBytes() as live:
        for tensor in (*model.parameters(), *model.buffers(), *local, *micro):
            live.leave_out(tensor)
        hooks = [p.register_post_accumulate_grad_hook(_drop) for p in model.parameters() if p.requires_grad]
        model(micro, local, micro_batches).total.backward()
    for hook in hooks:
        hook.remove()
    return live.peak


def cost(settings: TrainConfig, resolution: int, steps: int, assumed: PlanConfig) -> Cost | None:
    """Images, hours and price of a training; none on CPUs, unless their images a second are given."""
    gpus = settings.workers * settings.num_gpus
    if not gpus and assumed.images_per_s is None:
        return None
    each = assumed.images_per_s or default_images_per_s(settings, resolution)
    rate = each * (gpus or settings.workers)
    images = steps * settings.batch_size
    hours = images / rate / 3600
    return Cost(images, rate, hours, hours * gpus * assumed.usd_per_gpu_hour)


def default_images_per_s(settings: TrainConfig, resolution: int) -> float:
    """The published rate, by the number of pixels, less what recomputing activations costs."""
    rate = A100_IMAGES_PER_S * (A100_RESOLUTION / resolution) ** 2
    return rate * RECOMPUTING if settings.gradient_checkpointing else rate


def as_lines(location: str, settings: TrainConfig, resolution: int, steps: int, assumed: PlanConfig) -> list[str]:
    """The plan as people read it.

    Args:
        location: model folder to start from; where there is none, the published architecture stands in for it.
        settings: of the training.
        resolution: side of the pictures, pixels.
        steps: optimizer steps.
        assumed: rate, price and memory that are taken for granted.

    Raises:
        UserError: the batch can't be shared, or the model doesn't take pictures of this size.
    """
    training.check(settings, settings.batch_size)
    there = storage.exists(location)
    architecture = read(location) if there else PUBLISHED
    factor = 2 ** (len(architecture.vae["block_out_channels"]) - 1)
    if resolution % factor:
        raise UserError(f"image.resolution={resolution} must be a multiple of {factor}, which a latent covers")
    counted, needed = sizes(architecture, settings), need(architecture, settings, resolution)
    micro = settings.batch_size // (settings.workers * settings.accumulation)
    where = "GPU" if settings.num_gpus else "CPU worker"
    return [
        f"model        {location}" if there else f"model        {location} is not there; counted as {NAME}",
        f"trained      {counted.trained:,} parameters: UNet {counted.unet:,}, text encoder {counted.text:,}",
        f"batch        {settings.batch_size} = {settings.workers} workers x {settings.accumulation} micro-batches x "
        f"{micro} images of {resolution} x {resolution}",
        "",
        f"memory a {where}, GiB; {settings.dtype}, ZeRO stage {settings.zero_stage}, activations "
        + ("recomputed (train.gradient_checkpointing)" if settings.gradient_checkpointing else "kept"),
        *_memory_lines(needed),
        *_verdict(needed, settings, assumed),
        "",
        *_cost_lines(cost(settings, resolution, steps, assumed), settings, resolution, steps, assumed),
    ]


def _memory_lines(needed: Need) -> list[str]:
    rows = [
        ("weights", needed.weights, "trained, and frozen embeddings"),
        ("optimizer", needed.optimizer, "float32 weights and AdamW's two moments; this worker's share"),
        ("EMA", 0, "none is kept"),
        ("gradients", needed.gradients, ""),
        ("ZeRO's bucket", needed.bucket, "DeepSpeed's default"),
        ("activations", needed.activations, "at their highest, temporaries included"),
        ("update", needed.update, "at the optimizer's step, when activations and gradients are gone"),
        ("need", needed.peak, "weights + optimizer + the larger of (gradients + bucket + activations, update)"),
    ]
    return [f"  {name:<14}{number / GIB:9.3f}  {note}".rstrip() for name, number, note in rows]


def _verdict(needed: Need, settings: TrainConfig, assumed: PlanConfig) -> list[str]:
    outside = "CUDA's context, communication, convolution workspaces and fragmentation come on top: leave 10 %"
    lines = [f"  not counted: {outside}"] if settings.num_gpus else []
    if assumed.gpu_memory_gib is None:
        return lines
    sharing = max(1, int(1 / settings.num_gpus)) if settings.num_gpus else 1
    total, have = needed.peak * sharing / GIB, assumed.gpu_memory_gib
    who = f"{sharing} workers a GPU need" if sharing > 1 else "it needs"
    if total <= 0.9 * have:
        return [*lines, f"  fits: {who} {total:.1f} of {have:g} GiB"]
    remedy = "raise train.accumulation, set train.gradient_checkpointing=true"
    if settings.zero_stage < 2:
        remedy += ", raise train.zero_stage"
    if needed.update > needed.gradients + needed.bucket + needed.activations:
        remedy = "the optimizer's step is what doesn't fit: use more workers with train.zero_stage=2"
    word = "TIGHT" if total <= have else "DOES NOT FIT"
    return [*lines, f"  {word}: {who} {total:.1f} of {have:g} GiB; {remedy}"]


def _cost_lines(
    expected: Cost | None, settings: TrainConfig, resolution: int, steps: int, assumed: PlanConfig
) -> list[str]:
    images = f"images       {steps * settings.batch_size:,} = {steps:,} steps x {settings.batch_size}"
    if expected is None:
        return [images, "hours        unknown: no rate is published for CPUs; give plan.images_per_s (a worker)"]
    lines = [images, f"hours        {expected.hours:.2f} at {expected.images_per_s:.1f} images/s"]
    if settings.num_gpus:
        lines.append(f"US dollars   {expected.usd:.2f} for {settings.workers * settings.num_gpus:g} GPUs")
    lines += ["assumed:"]
    if assumed.images_per_s is not None:
        lines.append(f"  {assumed.images_per_s:g} images/s each, as given (plan.images_per_s)")
    else:
        scaled = f", scaled to {resolution} by pixels" if resolution != A100_RESOLUTION else ""
        slower = ", x 3/4 for recomputing" if settings.gradient_checkpointing else ""
        lines.append(
            f"  {default_images_per_s(settings, resolution):.1f} images/s and GPU: MosaicML published 36 on an A100 at "
            f"512{scaled}{slower};"
        )
        lines.append("  another card, and training the text encoder, change that: measure, and give plan.images_per_s")
    if settings.num_gpus:
        lines.append(f"  {assumed.usd_per_gpu_hour:g} US dollars a GPU hour (plan.usd_per_gpu_hour; see --help)")
    return lines


def _model(architecture: Architecture, settings: TrainConfig) -> tuple[Product2Img, Parts]:
    parts = build(architecture, TOKEN)
    text = parts.text_encoder.config
    projection = torch.empty(text.projection_dim, text.hidden_size)
    train_text = settings.lr_text > 0
    return Product2Img(parts, projection, settings.temperature, settings.contrastive_weight, train_text), parts


def _drop(parameter: torch.Tensor) -> None:
    parameter.grad = None
