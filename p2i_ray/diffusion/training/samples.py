"""Sample pictures of a model that is being trained: a few rows painted from their cached features.

What is painted is what diffusers' inpainting pipeline paints with the model as it is at that moment. Training doesn't
notice: weights, gradients, modes and the state of torch's own randomness stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, StableDiffusionInpaintPipeline
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from p2i_ray.config.diffusion import TrackingConfig
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.model.loading import Parts
from p2i_ray.diffusion.model.prompt import tokenise
from p2i_ray.diffusion.step import Product2Img, encode_text
from p2i_ray.storage.locations import seed_for

Features = Mapping[str, NDArray[np.float32]]  # image_moments (n, 8, h, w), product_moments, mask (n, 1, h, w)

TOGETHER = 8  # rows painted at once
COLUMNS = 8  # products side by side on a sheet
GAP = 4  # pixels between pictures on a sheet
PAPER = 255


@torch.no_grad()  # inference mode would mark tensors that training goes on with, such as ZeRO's gathered weights
def paint(
    model: Product2Img,
    parts: Parts,
    features: Features,
    names: Sequence[str],
    token: str | None,
    settings: TrackingConfig,
    seed: int,
) -> Pixels:
    """Paint a background around each product.

    Every step of it is the same on all workers: with ZeRO-3 they must all take part, as in training.

    Args:
        model: what is trained.
        parts: its folder, for tokenizer, VAE and noise levels.
        features: of n rows; see rows.unpack.
        names: their names.
        token: appended to the names; none: nothing is.
        settings: denoising steps and guidance.
        seed: of the noise. A row's noise depends on the seed and the row's place alone: it is the same every time.

    Returns:
        (n, H, W, 3) uint8.
    """
    device = model.projection.device
    with _undisturbed(model), _on(parts.vae, device):
        pipe = StableDiffusionInpaintPipeline(
            vae=parts.vae,
            text_encoder=None,
            tokenizer=None,
            unet=model.unet,
            scheduler=EulerAncestralDiscreteScheduler.from_config(parts.scheduler.config),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipe.set_progress_bar_config(disable=True)
        painted = []
        for start in range(0, len(names), TOGETHER):
            rows = range(start, min(start + TOGETHER, len(names)))
            generators = [torch.Generator().manual_seed(seed_for(seed, "sample", row)) for row in rows]
            ids = tokenise(parts.tokenizer, token, [names[row] for row in rows]).ids
            latents = _denoise(model, pipe, ids.to(device), _some(features, rows), generators, settings)
            painted.append(_decode(parts.vae, latents))
    return np.concatenate(painted)


@torch.no_grad()
def sheet(parts: Parts, features: Features, painted: Pixels) -> Pixels:
    """One picture of all: a column a product, the product alone above, then what was painted, then the real photo.

    More than `COLUMNS` products go on below.

    Args:
        parts: their VAE decodes products and photos, on the device of their UNet.
        features: of n rows, as for `paint`.
        painted: (n, H, W, 3) uint8.

    Returns:
        (H', W', 3) uint8.
    """
    scale = float(parts.vae.config.scaling_factor)
    with _on(parts.vae, parts.unet.device):
        products, photos = (
            _decode(parts.vae, _distribution(features[name]).mean * scale)
            for name in ("product_moments", "image_moments")
        )
    bands = []
    for start in range(0, len(painted), COLUMNS):
        for pictures in (products, painted, photos):
            row = np.full((painted.shape[1], _width(len(painted), painted.shape[2]), 3), PAPER, np.uint8)
            for column, picture in enumerate(pictures[start : start + COLUMNS]):
                left = column * (picture.shape[1] + GAP)
                row[:, left : left + picture.shape[1]] = picture
            bands += [row, np.full((GAP, row.shape[1], 3), PAPER, np.uint8)]
    return np.concatenate(bands[:-1])


def _denoise(
    model: Product2Img,
    pipe: StableDiffusionInpaintPipeline,
    ids: torch.Tensor,
    features: Features,
    generators: list[torch.Generator],
    settings: TrackingConfig,
) -> torch.Tensor:
    """Latents (n, 4, h, w), scaled as the UNet has them; the draws come in the pipeline's own order."""
    mask = torch.from_numpy(features["mask"])  # (n, 1, h, w)
    factor = pipe.vae_scale_factor
    height, width = mask.shape[2] * factor, mask.shape[3] * factor
    text = encode_text(model, ids)  # (n, L, d)
    nothing = encode_text(model, model.empty_ids).expand(len(ids), -1, -1)
    products = _distribution(features["product_moments"])
    noise = [torch.randn((1, *products.mean.shape[1:]), generator=g, dtype=text.dtype) for g in generators]
    drawn = [torch.randn((1, *products.mean.shape[1:]), generator=g) for g in generators]
    latents = (products.mean + products.std * torch.cat(drawn)) * pipe.vae.config.scaling_factor  # (n, 4, h, w)
    return pipe(
        prompt_embeds=text,
        negative_prompt_embeds=nothing,
        image=torch.zeros(len(ids), 3, height, width),  # of which the pipeline takes the size
        mask_image=functional.interpolate(mask, scale_factor=factor),  # (n, 1, H, W)
        masked_image_latents=latents,
        latents=torch.cat(noise).to(text.device),
        height=height,
        width=width,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        generator=generators,
        output_type="latent",
    ).images


def _decode(vae: AutoencoderKL, latents: torch.Tensor) -> Pixels:
    """Pictures (n, H, W, 3) uint8 of scaled latents (n, 4, h, w), one at a time; what is no number becomes black."""
    latents = (latents / vae.config.scaling_factor).to(vae.device, vae.dtype)
    pictures = torch.cat([vae.decode(latent[None]).sample.float().cpu() for latent in latents])  # -1..1
    pictures = (pictures / 2 + 0.5).clamp(0, 1).nan_to_num(0)
    return (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def _distribution(moments: NDArray[np.float32]) -> DiagonalGaussianDistribution:
    return DiagonalGaussianDistribution(torch.from_numpy(moments))


def _some(features: Features, rows: range) -> Features:
    return {name: values[rows.start : rows.stop] for name, values in features.items()}


def _width(products: int, side: int) -> int:
    columns = min(products, COLUMNS)
    return columns * side + (columns - 1) * GAP


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """The model without dropout and uncompiled: a few pictures are not worth another compilation."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def _on(vae: AutoencoderKL, device: torch.device) -> Iterator[None]:
    """The VAE on a device, for the duration."""
    before = vae.device
    vae.to(device)
    try:
        yield
    finally:
        vae.to(before)
