"""Estimate what a training run needs: memory a GPU, hours, dollars.

The step's own memory is measured on the very train step (step.py), run on fake tensors, which have shapes and no
memory; the rest is counted. No weights, data, GPU or Ray are needed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from p2i_ray.config import PlanConfig, TrainConfig
from p2i_ray.diffusion.model import lora
from p2i_ray.diffusion.model.loading import Parts
from p2i_ray.diffusion.model.prompt import empty_prompts
from p2i_ray.diffusion.model.validation import INPUT_CHANNELS
from p2i_ray.diffusion.step import Batch, Product2Img, recompute_activations, trained_groups
from p2i_ray.diffusion.training.engine import REDUCE_BUCKET
from p2i_ray.generators.step import GeneratorBatch, GeneratorModel
from p2i_ray.planning.architectures import PUBLISHED, Architecture
from p2i_ray.planning.full_size import (
    allocate,
    build,
    build_projection,
    build_scheduler,
    cast_parameters,
    random_batch,
)
from p2i_ray.planning.live_memory import LiveBytes

# mosaicml/diffusion's README: 290 images/s on eight A100 at 512 pixels, Stable Diffusion 2's UNet on cached latents.
# Per pixel that is 145 at 256, where they publish 1,100 / 8 = 138.
A100_IMAGES_PER_S = 36.0
A100_RESOLUTION = 512
RECOMPUTING = 3 / 4  # forward, forward again, backward: 4 units of work instead of 3
LIVE = 1_000_000_000  # elements; DeepSpeed's default zero_optimization.stage3_max_live_parameters
DTYPES = {"no": torch.float32, "bf16": torch.bfloat16}
TOKEN = "<background>"
PROCESS = 1_000_000_000  # bytes that a worker has besides: torch, diffusers, DeepSpeed, Ray, the rows that it reads


class Sizes(NamedTuple):
    """Numbers of values."""

    unet: int  # trained; adapters alone with LoRA
    text: int  # trained: all of the text encoders but their token embeddings, of which one row is trained
    frozen: int  # parameters that don't learn, in the step's precision
    buffers: int  # token embeddings and CLIP's projection, float32 always
    whole: int = 0  # parameters of all of the model folder, VAE included, without what are buffers

    @property
    def trained(self) -> int:
        """The parameters that the optimizer updates."""
        return self.unet + self.text


class TrainingMemory(NamedTuple):
    """Bytes a worker, by part."""

    weights: int  # as the step uses them; with ZeRO-3 this worker's share
    gathered: int  # ZeRO-3: whole weights, while layers use them
    optimizer: int  # float32 master weights, where the step's are not these, and AdamW's two moments
    average: int  # EMA, float32
    gradients: int  # float32, also in bf16: the sum over micro-batches
    bucket: int  # in which ZeRO gathers gradients before it reduces them, and the copies that it reduces
    activations: int  # the most at once between forward and backward pass, temporaries included
    update: int  # at the optimizer's step: gradients, AdamW's temporary, and the buffers that stay
    saving: int = 0  # on a CPU: at the end, the model folder in float32 beside the step's weights
    process: int = 0  # on a CPU: Python and its libraries

    @property
    def step(self) -> int:
        """The most between forward and backward pass, without what is always allocated."""
        return self.gathered + self.gradients + self.bucket + self.activations

    @property
    def peak(self) -> int:
        """The most at once; when the optimizer steps, activations are gone, and gradients when the model is saved."""
        stays = self.process + self.weights + self.optimizer + self.average
        return stays + max(self.step, self.update, self.saving)


class Cost(NamedTuple):
    """Of the training step alone: without starting, encoding and checkpoints."""

    images: int
    images_per_s: float  # of all GPUs together
    hours: float
    usd: float


def sizes(architecture: Architecture, settings: TrainConfig, token: str | None = TOKEN) -> Sizes:
    """The parameters of a model, as training has it."""
    scheduler = build_scheduler(architecture)
    with torch.device("meta"):
        model, parts = _model(architecture, settings, scheduler, token)
    learning = {name: sum(p.numel() for p in group) for name, group in trained_groups(model).items()}
    return Sizes(
        unet=learning["unet"],
        text=learning.get("text", 0) + learning.get("token", 0),
        frozen=sum(p.numel() for p in model.parameters() if not p.requires_grad),
        buffers=sum(b.numel() for b in model.buffers() if b.is_floating_point()),
        whole=sum(p.numel() for part in (*parts.networks.values(), parts.vae) for p in part.parameters()),
    )


def need(
    architecture: Architecture, settings: TrainConfig, resolution: int, token: str | None = TOKEN
) -> TrainingMemory:
    """Work out what a worker needs, in DeepSpeed's layout.

    Args:
        architecture: the model.
        settings: of the training.
        resolution: side of the images, pixels.
        token: the learned token.
    """
    allocated = states(sizes(architecture, settings, token), settings)
    return allocated._replace(activations=activations(architecture, settings, resolution, token))


def states(counted: Sizes, settings: TrainConfig) -> TrainingMemory:
    """Work out what a worker needs besides activations: weights, gradients, optimizer and buffers.

    With ZeRO-3 at most `LIVE` weights are taken to be gathered at once: by DeepSpeed's defaults that, and how soon a
    weight is used again, say when one is let go.
    """
    trained, whole = counted.trained, counted.trained + counted.frozen
    each = DTYPES[settings.mixed_precision].itemsize
    stage = settings.zero_stage
    own = trained if stage == 0 else -(-trained // settings.num_workers)  # whose states this worker has
    master = 0 if stage == 0 and settings.mixed_precision == "no" else 4
    held = own if stage >= 2 else trained  # whose gradients
    if stage == 2 and each == 4 and settings.gradient_accumulation_steps > 1:
        held *= 2  # the sum over earlier micro-batches, and the newest one's; in bf16 the latter is the bucket
    gradients, bucket = 4 * held, _bucket(settings, trained)
    whole_sum = stage == 3 or (stage == 1 and each == 2)  # stays when the optimizer steps
    shared = settings.num_workers if stage == 3 else 1
    return TrainingMemory(
        weights=each * -(-whole // shared) + 4 * counted.buffers,
        gathered=each * min(whole, LIVE) if stage == 3 else 0,
        optimizer=(master + 8) * own,
        average=4 * own if settings.ema_decay is not None else 0,
        gradients=gradients,
        bucket=bucket,
        activations=0,
        saving=0 if settings.num_gpus else 4 * (counted.whole + counted.buffers),
        process=0 if settings.num_gpus else PROCESS,
        update=(4 if stage == 1 and each == 2 else 4 + 4) * own + (gradients + bucket if whole_sum else 0),
    )


def _bucket(settings: TrainConfig, trained: int) -> int:
    """Bytes in which gradients are gathered and reduced: the bucket, its flat copy, and a bf16 one's in float32."""
    each = DTYPES[settings.mixed_precision].itemsize
    filled = min(REDUCE_BUCKET, trained)
    allocated = REDUCE_BUCKET if settings.num_gpus else filled  # what a CPU doesn't touch it has
    match settings.zero_stage:
        case 1 if each == 4:
            return 4 * filled  # the flat copy alone
        case 2:
            return each * (allocated + filled) + (4 * filled if each == 2 else 0)
        case 3:
            return 4 * (allocated + filled)
    return 0  # without a bucket: ZeRO-0, and DeepSpeed's optimizer for stage 1 in bf16


def activations(architecture: Architecture, settings: TrainConfig, resolution: int, token: str | None = TOKEN) -> int:
    """The most bytes that a step's tensors take at once, beside parameters, their gradients and buffers.

    It is the step's last micro-batch that counts: it has the contrastive terms, over all of the worker's rows.
    Attention is counted as torch's fused kernels save it (inputs, output and a number a row, no matrix).
    """
    rows = settings.batch_size // settings.num_workers
    scheduler = build_scheduler(architecture)
    with torch.device("meta"):  # where adapters can be added; then in fake memory, where what is made can be counted
        model, parts = _model(architecture, settings, scheduler, token)
    with FakeTensorMode():
        model.schedule = DDPMScheduler.from_config(scheduler.config)
        allocate(model)
        cast_parameters(model, DTYPES[settings.mixed_precision])
        if settings.gradient_checkpointing:
            recompute_activations(parts)
        batch = random_batch(parts, token, rows=rows, resolution=resolution, clip_width=model.projection.shape[0])
        return peak_of_step(model, batch, settings.gradient_accumulation_steps)


def peak_of_step(model: Product2Img | GeneratorModel, local: Batch | GeneratorBatch, micro_batches: int) -> int:
    """Run a step's last micro-batch, forward and backward, and return the most bytes its tensors took at once.

    Gradients of parameters are dropped as soon as they are complete. Works on fake tensors and on real ones.
    """
    *_, micro = [local] if micro_batches == 1 else local.micro_batches(micro_batches)
    with LiveBytes() as live:
        for tensor in (*model.parameters(), *model.buffers(), *local, *micro):
            if tensor is not None:  # a generator's batch has not what other generators need
                live.leave_out(tensor)
        learning: list[Any] = [p for p in model.parameters() if p.requires_grad]  # the hook has no types
        hooks = [p.register_post_accumulate_grad_hook(_drop) for p in learning]
        torch.autograd.backward(model(micro, local, micro_batches).total)
    for hook in hooks:
        hook.remove()
    return int(live.peak)


def cost(
    architecture: Architecture, settings: TrainConfig, *, resolution: int, steps: int, assumed: PlanConfig
) -> Cost | None:
    """Images, hours and price of a training; none on CPUs, unless their images a second are given."""
    gpus = settings.num_workers * settings.num_gpus
    if not gpus and assumed.images_per_s is None:
        return None
    each = assumed.images_per_s or default_images_per_s(architecture, settings, resolution)
    rate = each * (gpus or settings.num_workers)
    images = steps * settings.batch_size
    hours = images / rate / 3600
    return Cost(images, rate, hours, hours * gpus * assumed.usd_per_gpu_hour)


def default_images_per_s(architecture: Architecture, settings: TrainConfig, resolution: int) -> float:
    """The published rate by the work that a picture is, less what recomputing activations costs.

    For the published model's family that is the number of pixels; for others, operations of the denoiser.
    """
    rate = A100_IMAGES_PER_S * (A100_RESOLUTION / resolution) ** 2
    if architecture.family is not PUBLISHED.family:
        rate = A100_IMAGES_PER_S * operations(PUBLISHED, A100_RESOLUTION) / operations(architecture, resolution)
    return rate * RECOMPUTING if settings.gradient_checkpointing else rate


def operations(architecture: Architecture, resolution: int) -> int:
    """Floating-point operations of the denoiser for one picture, forward: products, convolutions and attention."""
    side = resolution // architecture.pixels_per_latent
    scheduler = build_scheduler(architecture)
    with torch.device("meta"), torch.no_grad():
        parts = build(architecture, None, scheduler)
        text = parts.backbone.encode(parts.text_encoders, empty_prompts(parts.tokenizers))
        inputs, timesteps = torch.zeros(1, INPUT_CHANNELS, side, side), torch.zeros(1, dtype=torch.int64)
        with FlopCounterMode(display=False) as counted:
            pixels = resolution, resolution
            parts.backbone.predict(parts.denoiser, inputs, timesteps, text=text, pixels=pixels)
    return int(counted.get_total_flops())


def _model(
    architecture: Architecture, settings: TrainConfig, scheduler: EulerAncestralDiscreteScheduler, token: str | None
) -> tuple[Product2Img, Parts]:
    parts = build(architecture, token, scheduler)
    lora.add(parts, settings, seed=0)
    return Product2Img(parts, build_projection(architecture), settings), parts


def _drop(parameter: torch.Tensor) -> None:
    parameter.grad = None
