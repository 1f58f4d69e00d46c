"""One training step on cached features: add noise, predict it, compare; align names with backgrounds (Eq. 1 to 5).

Pure torch: what the randomness, the batch and the gradient are doesn't depend on how many processes share the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import nn
from torch.nn import functional
from transformers import CLIPTextModel

from p2i_ray.diffusion.folder import Parts
from p2i_ray.diffusion.losses import contrastive_loss, inpainting_loss, total_loss
from p2i_ray.diffusion.tokens import Prompts, TokenEmbedding, empty_prompt
from p2i_ray.storage import seed_for


class Batch(NamedTuple):
    """B rows: their features, their prompts and their share of the step's randomness."""

    image_moments: torch.Tensor  # (B, 8, h, w) of the whole picture
    product_moments: torch.Tensor  # (B, 8, h, w) of the product on grey
    mask: torch.Tensor  # (B, 1, h, w), 1 where the background is to be painted
    background_clip: torch.Tensor  # (B, d), r_B
    image_clip: torch.Tensor  # (B, d), r_I
    input_ids: torch.Tensor  # (B, L), P <background>
    background_at: torch.Tensor  # (B,)
    eos_at: torch.Tensor  # (B,)
    timesteps: torch.Tensor  # (B,) int64
    noise: torch.Tensor  # (B, 4, h, w), epsilon of Eq. 1
    image_noise: torch.Tensor  # (B, 4, h, w), which sample of the picture's latent
    product_noise: torch.Tensor  # (B, 4, h, w), which sample of the product's latent
    dropped: torch.Tensor  # (B,) bool, rows whose prompt the UNet doesn't see

    def to(self, device: torch.device | str) -> Batch:
        """The batch on a device."""
        return Batch(*(value.to(device) for value in self))

    def micro_batches(self, count: int) -> Iterator[Batch]:
        """The batch in `count` equal parts, in order."""
        for values in zip(*(value.chunk(count) for value in self), strict=True):
            yield Batch(*values)


class Draws(NamedTuple):
    """The randomness of B rows; fields as in `Batch`."""

    timesteps: torch.Tensor
    noise: torch.Tensor
    image_noise: torch.Tensor
    product_noise: torch.Tensor
    dropped: torch.Tensor


class Losses(NamedTuple):
    """What Eq. 3 to 5 give."""

    total: torch.Tensor  # (), to be differentiated
    inpaint: torch.Tensor  # (B,), of each row here
    cl_background: torch.Tensor  # (), L'_cl(b, B) of the global batch
    cl_name: torch.Tensor  # (), L'_cl(P, I) of the global batch


def draw(
    seed: int, step: int, positions: range, latent: tuple[int, int, int], timesteps: int, name_dropout: float
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
        name_dropout: share of rows whose prompt is dropped.
    """
    rows = []
    for position in positions:
        generator = torch.Generator().manual_seed(seed_for(seed, "noise", step, position))
        timestep = torch.randint(timesteps, (), generator=generator)
        noises = torch.randn(3, *latent, generator=generator)
        rows.append((timestep, *noises, torch.rand((), generator=generator) < name_dropout))
    return Draws(*(torch.stack(column) for column in zip(*rows, strict=True)))


class Product2Img(nn.Module):
    """What is trained: the UNet, the <background> row and the rest of the text encoder; other embeddings are frozen."""

    def __init__(
        self,
        parts: Parts,
        projection: torch.Tensor,
        temperature: float,
        contrastive_weight: float,
        train_text: bool = True,
    ) -> None:
        """Take the UNet and text encoder of a loaded folder (they are changed).

        Args:
            parts: the model folder.
            projection: CLIP's frozen text projection, (d_clip, d_text).
            temperature: tau of Eq. 4.
            contrastive_weight: lambda of Eq. 5.
            train_text: false: of the text encoder, only the <background> row learns.
        """
        super().__init__()
        self.unet: UNet2DConditionModel = parts.unet.train()
        self.text_encoder: CLIPTextModel = parts.text_encoder.train().requires_grad_(train_text)
        embedding = TokenEmbedding(parts.text_encoder.get_input_embeddings(), parts.token_id)
        self.text_encoder.set_input_embeddings(embedding)
        self.unet.requires_grad_(True)
        self.register_buffer("projection", projection.clone(), persistent=False)
        self.register_buffer("empty_ids", empty_prompt(parts.tokenizer), persistent=False)
        self.schedule = DDPMScheduler.from_config(parts.scheduler.config)
        self.latent_scale = float(parts.vae.config.scaling_factor)
        self.temperature = temperature
        self.contrastive_weight = contrastive_weight

    @property
    def background_row(self) -> nn.Parameter:
        """The embedding of <background>, (d,)."""
        return self.text_encoder.get_input_embeddings().row

    def forward(self, batch: Batch, contrast: Batch | None, share: int = 1) -> Losses:
        """`product2img_loss` of this model."""
        return product2img_loss(self, batch, contrast, share)


def recompute_activations(parts: Parts) -> None:
    """Keep fewer activations for the backward pass: less memory, slower."""
    parts.unet.enable_gradient_checkpointing()
    parts.text_encoder.gradient_checkpointing_enable()


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
    hidden = encode_text(model, batch.input_ids)  # (B, L, d)
    nothing = encode_text(model, model.empty_ids)  # (1, L, d)
    seen = torch.where(batch.dropped[:, None, None], nothing, hidden)
    inpaint = inpainting_loss(predict_noise(model, batch, seen), batch.noise)  # (B,)
    if contrast is None:
        zero = inpaint.new_zeros(())
        return Losses(inpaint.mean(), inpaint, zero, zero)
    if contrast is not batch:
        hidden = encode_text(model, contrast.input_ids)
    background, name = text_features(model, hidden, contrast)
    cl_background = contrastive_loss(background, contrast.background_clip, model.temperature)
    cl_name = contrastive_loss(name, contrast.image_clip, model.temperature)
    total = total_loss(inpaint.mean(), cl_background, cl_name, model.contrastive_weight * share)
    return Losses(total, inpaint, cl_background, cl_name)


def encode_text(model: Product2Img, ids: torch.Tensor) -> torch.Tensor:
    """The text encoder's last hidden state, after its final layer norm: (B, L) ids to (B, L, d)."""
    return model.text_encoder(input_ids=ids).last_hidden_state


def text_features(
    model: Product2Img, hidden: torch.Tensor, prompts: Batch | Prompts
) -> tuple[torch.Tensor, torch.Tensor]:
    """r_b and r_P: the states at <background> and at eos through CLIP's frozen projection, each (B, d_clip)."""
    rows = torch.arange(len(hidden), device=hidden.device)
    projection = model.projection.float()
    return (
        functional.linear(hidden[rows, prompts.background_at].float(), projection),
        functional.linear(hidden[rows, prompts.eos_at].float(), projection),
    )


def predict_noise(model: Product2Img, batch: Batch, text: torch.Tensor) -> torch.Tensor:
    """epsilon_theta(x'_t, text, t) of Eq. 3, (B, 4, h, w); x'_t is [noisy latent, mask, product latent]."""
    latents = _sample(batch.image_moments, batch.image_noise) * model.latent_scale  # (B, 4, h, w)
    product = _sample(batch.product_moments, batch.product_noise) * model.latent_scale  # (B, 4, h, w)
    noisy = model.schedule.add_noise(latents, batch.noise, batch.timesteps)  # Eq. 1
    inputs = torch.cat([noisy, batch.mask, product], dim=1).to(text.dtype)  # (B, 9, h, w), diffusers' order
    return model.unet(inputs, batch.timesteps, encoder_hidden_states=text).sample


def _sample(moments: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    posterior = DiagonalGaussianDistribution(moments)
    return posterior.mean + posterior.std * noise
