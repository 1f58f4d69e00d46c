"""One training step on cached features: add noise, predict it, compare; align names with backgrounds (Eq. 1 to 5).

Pure torch: randomness, batch and gradient do not depend on how many processes share the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import nn
from torch.nn import functional

from p2i_ray.config import TrainConfig
from p2i_ray.config.seeds import seed_for
from p2i_ray.diffusion.backbones.backbone import Backbone, PromptStates
from p2i_ray.diffusion.losses import contrastive_loss, inpainting_loss, min_snr_weights, total_loss
from p2i_ray.diffusion.model import lora
from p2i_ray.diffusion.model.loading import Parts, TextProjection
from p2i_ray.diffusion.model.prompt import TokenEmbedding, empty_prompts


class Batch(NamedTuple):
    """B rows: their features, their prompts and their share of the step's randomness."""

    image_moments: torch.Tensor  # (B, 8, h, w) of the whole image
    product_moments: torch.Tensor  # (B, 8, h, w) of the product on grey
    mask: torch.Tensor  # (B, 1, h, w), 1 where the background is to be painted
    background_clip: torch.Tensor  # (B, d), r_B
    image_clip: torch.Tensor  # (B, d), r_I
    input_ids: torch.Tensor  # (B, E, L), P <background> for each text encoder
    background_at: torch.Tensor  # (B,), for the encoder that CLIP is compared with; ignored without a token
    eos_at: torch.Tensor  # (B,)
    timesteps: torch.Tensor  # (B,) int64
    noise: torch.Tensor  # (B, 4, h, w), epsilon of Eq. 1
    image_noise: torch.Tensor  # (B, 4, h, w), which sample of the image's latent
    product_noise: torch.Tensor  # (B, 4, h, w), which sample of the product's latent
    dropped: torch.Tensor  # (B,) bool, rows whose prompt the UNet doesn't see

    def to(self, device: torch.device | str) -> Batch:
        """The batch on a device."""
        return Batch(*(value.to(device) for value in self))

    def micro_batches(self, count: int) -> Iterator[Batch]:
        """The batch in `count` equal parts, in order."""
        for values in zip(*(value.chunk(count) for value in self), strict=True):
            yield Batch(*values)


class Latents(Protocol):
    """The part of a batch that the denoiser's input is made from; see `Batch`."""

    @property
    def image_moments(self) -> torch.Tensor:
        """(B, 8, h, w)."""
        ...

    @property
    def product_moments(self) -> torch.Tensor:
        """(B, 8, h, w)."""
        ...

    @property
    def mask(self) -> torch.Tensor:
        """(B, 1, h, w)."""
        ...

    @property
    def timesteps(self) -> torch.Tensor:
        """(B,)."""
        ...

    @property
    def noise(self) -> torch.Tensor:
        """(B, 4, h, w)."""
        ...

    @property
    def image_noise(self) -> torch.Tensor:
        """(B, 4, h, w)."""
        ...

    @property
    def product_noise(self) -> torch.Tensor:
        """(B, 4, h, w)."""
        ...


class Noising(Protocol):
    """The parts of a model that the denoiser's input is made with."""

    backbone: Backbone
    schedule: DDPMScheduler
    latent_scale: float
    pixels_per_latent: int  # along one side


class Draws(NamedTuple):
    """The randomness of B rows; fields as in `Batch`."""

    timesteps: torch.Tensor
    noise: torch.Tensor
    image_noise: torch.Tensor
    product_noise: torch.Tensor
    dropped: torch.Tensor


class Losses(NamedTuple):
    """The losses of Eq. 3 to 5."""

    total: torch.Tensor  # (), to be differentiated
    inpaint: torch.Tensor  # (B,), of each row here, weighted where min-SNR is on
    cl_background: torch.Tensor  # (), L'_cl(b, B) of the global batch; 0 without a token
    cl_name: torch.Tensor  # (), L'_cl(P, I) of the global batch


def draw(
    seed: int, step: int, positions: range, *, latent: tuple[int, int, int], timesteps: int, prompt_dropout: float
) -> Draws:
    """The randomness of some rows of one step.

    Each row draws from a generator of its own, made from (seed, step, its position in the global batch), on the CPU:
    a row sees the same noise whichever process trains it.

    Args:
        seed: of the training.
        step: number of the optimizer step.
        positions: the rows' positions in the global batch.
        latent: (channels, h, w).
        timesteps: noise levels to choose from.
        prompt_dropout: fraction of rows whose prompt is dropped.
    """
    rows = []
    for position in positions:
        generator = torch.Generator().manual_seed(seed_for(seed, "noise", step, position))
        timestep = torch.randint(timesteps, (), generator=generator)
        noises = torch.randn(3, *latent, generator=generator)
        rows.append((timestep, *noises, torch.rand((), generator=generator) < prompt_dropout))
    return Draws(*(torch.stack(column) for column in zip(*rows, strict=True)))


class Product2Img(nn.Module):
    """The trained modules: UNet, <background> rows, rest of the text encoders; other token embeddings are frozen.

    Without a token there are no rows. With LoRA, adapters learn in place of the weights that they are added to. The
    modules are named as the model's folders: unet, text_encoder, and text_encoder_2 where there are two.
    """

    projection: torch.Tensor
    empty_ids: torch.Tensor

    def __init__(self, parts: Parts, projection: TextProjection, settings: TrainConfig) -> None:
        """Take the UNet and text encoders of a loaded folder (they are changed).

        Args:
            parts: the model folder; with LoRA, its adapters have been added (`lora.add`).
            projection: CLIP's frozen text projection, and whose states it takes.
            settings: lambda and tau of Eq. 4 and 5, what learns, how Eq. 3 is weighted, the layout in memory.
        """
        super().__init__()
        self.backbone, self.aligned = parts.backbone, projection.encoder  # the place of CLIP's text encoder
        for name, network in parts.networks.items():
            self.add_module(name, network.train())
        lora.choose_trained(self.denoiser, settings, trained=True)
        for place, encoder in enumerate(self.text_encoders):
            lora.choose_trained(encoder, settings, trained=settings.lr_text > 0)
            embedding = encoder.get_input_embeddings().requires_grad_(False)
            if parts.token_ids:
                encoder.set_input_embeddings(TokenEmbedding(embedding, parts.token_ids[place]))
        for parameter in self.backbone.unused(self.text_encoders, self.aligned):
            parameter.requires_grad_(False)
        if settings.channels_last:
            convolve_channels_last(self.denoiser)
        self.register_buffer("projection", projection.weight.clone(), persistent=False)  # (d_clip, d_text)
        self.register_buffer("empty_ids", empty_prompts(parts.tokenizers), persistent=False)  # (1, E, L)
        self.schedule = DDPMScheduler.from_config(parts.scheduler.config)
        self.latent_scale = float(parts.vae.config["scaling_factor"])
        self.pixels_per_latent = parts.pixels_per_latent  # along one side
        self.settings = settings

    @property
    def denoiser(self) -> Any:
        """The UNet."""
        return self.get_submodule(self.backbone.family.denoiser)

    @property
    def text_encoders(self) -> list[Any]:
        """The text encoders, in the backbone's order."""
        return [self.get_submodule(name) for name in self.backbone.family.encoders]

    @property
    def background_rows(self) -> list[nn.Parameter]:
        """The embedding of <background> in each text encoder, (d_e,); none without a token."""
        embeddings = [encoder.get_input_embeddings() for encoder in self.text_encoders]
        return [embedding.row for embedding in embeddings if isinstance(embedding, TokenEmbedding)]

    def groups(self, settings: TrainConfig) -> list[dict[str, Any]]:
        """The optimizer's groups: <background> learns at the UNet's rate and doesn't decay."""
        options = {"unet": {"lr": settings.lr_unet}, "token": {"lr": settings.lr_unet, "weight_decay": 0.0}}
        options["text"] = {"lr": settings.lr_text}
        return [{"name": name, "params": list(p), **options[name]} for name, p in trained_groups(self).items()]

    @property
    def device(self) -> torch.device:
        """The device that it computes on."""
        return self.projection.device

    def forward(self, batch: Batch, contrast: Batch | None, share: int = 1) -> Losses:
        """`product2img_loss` of this model."""
        return product2img_loss(self, batch, contrast, share)


def trained_groups(model: Product2Img) -> dict[str, list[nn.Parameter]]:
    """The trained parameters by learning rate: "unet", "token" (the <background> rows), "text".

    A group without parameters is left out. With LoRA, "unet" and "text" are adapters.
    """
    rows = model.background_rows
    known = {id(row) for row in rows}
    groups = {
        "unet": [p for p in model.denoiser.parameters() if p.requires_grad],
        "token": rows,
        "text": [
            p for encoder in model.text_encoders for p in encoder.parameters() if p.requires_grad and id(p) not in known
        ],
    }
    return {name: parameters for name, parameters in groups.items() if parameters}


def convolve_channels_last(network: nn.Module) -> None:
    """Let all convolutions work in NHWC layout, which tensor cores want; weights stay as they are.

    ZeRO lays weights out flat, and DeepSpeed can't broadcast NHWC weights in bf16. So it is each convolution's input
    that says how to convolve; attention blocks hand theirs on in NCHW.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(_input_channels_last)


def _input_channels_last(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return (inputs[0].contiguous(memory_format=torch.channels_last), *inputs[1:])


def recompute_activations(parts: Parts) -> None:
    """Keep fewer activations for the backward pass: less memory, slower."""
    parts.denoiser.enable_gradient_checkpointing()
    for encoder in parts.text_encoders:
        encoder.gradient_checkpointing_enable()


def product2img_loss(model: Product2Img, batch: Batch, contrast: Batch | None, share: int = 1) -> Losses:
    """L of Eq. 5 for one micro-batch.

    Dropped names are dropped for the UNet only; in the contrastive terms every row keeps its name. Those terms need
    the global batch at once, so with several micro-batches they are taken once, over all rows of this worker.

    Args:
        model: the model.
        batch: the micro-batch, for Eq. 3.
        contrast: all of this worker's rows, for Eq. 4; the very object `batch` where there is one micro-batch; none:
            left out, the step's other micro-batch has it.
        share: micro-batches a step. The engine divides each micro-batch's loss by it, so Eq. 4 is multiplied by it.
    """
    settings = model.settings
    prompts = encode_text(model, batch.input_ids)
    nothing = model.backbone.nothing(model.text_encoders, model.empty_ids)
    inpaint = inpainting_loss(*predict(model, batch, nothing.where(batch.dropped, prompts)))  # (B,)
    if settings.min_snr_gamma is not None:
        inpaint = inpaint * min_snr_weights(model.schedule, batch.timesteps, settings.min_snr_gamma)
    zero = inpaint.new_zeros(())
    if contrast is None:
        # So that every weight has a gradient in every micro-batch, also those behind the state that the denoiser reads:
        # where the first has none, ZeRO-3 adds a later one's to what is left of the step before.
        untouched = 0 * prompts.last[model.aligned].sum()
        return Losses(inpaint.mean() + untouched, inpaint, zero, zero)
    if contrast is not batch:
        prompts = encode_text(model, contrast.input_ids)
    hidden = prompts.last[model.aligned]  # (B, L, d)
    name = text_feature(model, hidden, contrast.eos_at)  # (B, d_clip), r_P
    cl_name = contrastive_loss(name, contrast.image_clip, settings.temperature)
    cl_background = zero
    if model.background_rows:
        background = text_feature(model, hidden, contrast.background_at)  # (B, d_clip), r_b
        cl_background = contrastive_loss(background, contrast.background_clip, settings.temperature)
    total = total_loss(inpaint.mean(), cl_background, cl_name, settings.contrastive_weight * share)
    return Losses(total, inpaint, cl_background, cl_name)


def encode_text(model: Product2Img, ids: torch.Tensor) -> PromptStates:
    """The prompts whose tokens are ids (B, E, L)."""
    return model.backbone.encode(model.text_encoders, ids)


def text_feature(model: Product2Img, hidden: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """r_b or r_P: each row's state at one place (B,) through CLIP's frozen projection, (B, d_clip)."""
    rows = torch.arange(len(hidden), device=hidden.device)
    return functional.linear(hidden[rows, at].float(), model.projection.float())


def predict(model: Product2Img, batch: Batch, text: PromptStates) -> tuple[torch.Tensor, torch.Tensor]:
    """epsilon_theta(x'_t, text, t) of Eq. 3 and the noise that it should be, both (B, 4, h, w)."""
    inputs, target, pixels = denoiser_inputs(model, batch)
    inputs = inputs.to(text.states.dtype)
    return model.backbone.predict(model.denoiser, inputs, batch.timesteps, text=text, pixels=pixels), target


def denoiser_inputs(model: Noising, batch: Latents) -> tuple[torch.Tensor, torch.Tensor, tuple[int, int]]:
    """x'_t of Eq. 3, the noise to be predicted from it, and the pictures' height and width.

    x'_t is [noisy latent, mask, product latent], (B, 9, h, w), in diffusers' order.
    """
    latents = _sample(batch.image_moments, batch.image_noise) * model.latent_scale  # (B, 4, h, w)
    product = _sample(batch.product_moments, batch.product_noise) * model.latent_scale  # (B, 4, h, w)
    noisy, target = model.backbone.noise(model.schedule, latents, batch.noise, batch.timesteps)  # Eq. 1
    inputs = torch.cat([noisy, batch.mask, product], dim=1)
    return inputs, target, (latents.shape[2] * model.pixels_per_latent, latents.shape[3] * model.pixels_per_latent)


def _sample(moments: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    posterior = DiagonalGaussianDistribution(moments)
    return posterior.mean + posterior.std * noise
