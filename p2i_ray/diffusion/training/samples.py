"""Sample images of a model in training: a few rows painted from their cached features.

The result is what diffusers' inpainting pipeline paints with the model as it is at that moment. Training isn't
affected: weights, gradients, modes and the state of torch's own randomness stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from p2i_ray.config.diffusion import NAME, TrackingConfig
from p2i_ray.config.seeds import seed_for
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.model.loading import Parts
from p2i_ray.diffusion.model.prompt import tokenise_each
from p2i_ray.diffusion.sampling.denoise import DenoiseInputs, build_pipeline, denoise, seeded
from p2i_ray.diffusion.step import Product2Img, encode_text

Features = Mapping[str, NDArray[np.float32]]  # image_moments (n, 8, h, w), product_moments, mask (n, 1, h, w)

BATCH_SIZE = 8  # rows painted at once
COLUMNS = 8  # products side by side on a sheet
GAP = 4  # pixels between images on a sheet
WHITE = 255  # of the sheet


@dataclass(frozen=True)
class SampleRows:
    """Rows to paint.

    Attributes:
        names: of n products.
        features: of the same rows; see rows.unpack.
    """

    names: Sequence[str]
    features: Features

    def parts(self, size: int) -> Iterator[tuple[range, SampleRows]]:
        """The rows in parts of at most so many, each with its place."""
        for start in range(0, len(self.names), size):
            place = range(start, min(start + size, len(self.names)))
            features = {name: values[place.start : place.stop] for name, values in self.features.items()}
            yield place, SampleRows(self.names[place.start : place.stop], features)


@torch.no_grad()  # inference mode would mark tensors that training goes on with, such as ZeRO's gathered weights
def paint(
    model: Product2Img,
    parts: Parts,
    rows: SampleRows,
    *,
    token: str | None,
    template: str = NAME,
    settings: TrackingConfig,
    seed: int,
) -> Pixels:
    """Paint a background around each product.

    Every step of it is the same on all workers: with ZeRO-3 they must all take part, as in training.

    Args:
        model: in training.
        parts: its folder, for tokenizer, VAE and noise levels.
        rows: n of them.
        token: appended to the names; none: nothing is.
        template: of the prompts that names make.
        settings: denoising steps and guidance.
        seed: of the noise. A row's noise depends on the seed and the row's place alone: it is the same every time.

    Returns:
        (n, H, W, 3) uint8.
    """
    with ready(model, parts) as paint_inputs:
        painted = []
        for place, some in rows.parts(BATCH_SIZE):
            ids = tokenise_each(parts.tokenizers, token, some.names, template=template).ids.to(model.device)
            generators = seeded(seed_for(seed, "sample", row) for row in place)
            inputs = _inputs(model, some.features, ids, settings=settings, generators=generators)
            painted.append(paint_inputs(inputs))
    return np.concatenate(painted)


class PaintedModel(Protocol):
    """A model in training: a module with these."""

    @property
    def denoiser(self) -> Any:
        """Called as diffusers' pipelines call it."""
        ...

    @property
    def device(self) -> torch.device:
        """The device that it computes on."""
        ...


@contextmanager
def ready(model: PaintedModel, parts: Parts) -> Iterator[Callable[[DenoiseInputs], Pixels]]:
    """While the block runs, what paints batches with a model in training: pictures (B, H, W, 3) uint8."""
    with _undisturbed(cast(nn.Module, model)), _moved(parts.vae, model.device):
        scheduler = EulerAncestralDiscreteScheduler.from_config(parts.scheduler.config)
        pipeline = build_pipeline(parts.backbone, parts.vae, model.denoiser, scheduler)

        def paint_inputs(inputs: DenoiseInputs) -> Pixels:
            return _decode(parts.vae, denoise(parts.backbone, pipeline, inputs, output="latent"))

        yield paint_inputs


@torch.no_grad()
def sheet(parts: Parts, features: Features, painted: Pixels) -> Pixels:
    """One image of all: a column for each product, with the product alone, the painted image and the real photo.

    After `COLUMNS` products a new line begins below.

    Args:
        parts: their VAE decodes products and photos, on the device of their denoiser.
        features: of n rows, as for `paint`.
        painted: (n, H, W, 3) uint8.

    Returns:
        (H', W', 3) uint8.
    """
    scale = float(parts.vae.config["scaling_factor"])
    with _moved(parts.vae, parts.denoiser.device):
        products, photos = (
            _decode(parts.vae, _distribution(features[name]).mean * scale)
            for name in ("product_moments", "image_moments")
        )
    return grid([products, painted, photos])


def grid(shown: Sequence[Pixels]) -> Pixels:
    """One image, (H', W', 3), of several of each of n rows: a column for each row; after `COLUMNS` a new line begins.

    Args:
        shown: one above the other, each (n, H, W, 3) uint8.
    """
    count, height, width, _ = shown[0].shape
    bands = []
    for start in range(0, count, COLUMNS):
        for images in shown:
            row = np.full((height, _width(count, width), 3), WHITE, np.uint8)
            for column, image in enumerate(images[start : start + COLUMNS]):
                left = column * (image.shape[1] + GAP)
                row[:, left : left + image.shape[1]] = image
            bands += [row, np.full((GAP, row.shape[1], 3), WHITE, np.uint8)]
    return np.concatenate(bands[:-1])


def _inputs(
    model: Product2Img,
    features: Features,
    ids: torch.Tensor,
    *,
    settings: TrackingConfig,
    generators: list[torch.Generator],
) -> DenoiseInputs:
    """Rows for `denoise`, from latents instead of images; the draws come in the pipeline's own order."""
    text = encode_text(model, ids).seen()  # of n rows
    mask = torch.from_numpy(features["mask"])  # (n, 1, h, w)
    products = _distribution(features["product_moments"])
    shape = (1, *products.mean.shape[1:])
    noise = [torch.randn(shape, generator=generator, dtype=text.states.dtype) for generator in generators]
    drawn = [torch.randn(shape, generator=generator) for generator in generators]
    mask = functional.interpolate(mask, scale_factor=model.pixels_per_latent)  # (n, 1, H, W)
    return DenoiseInputs(
        prompts=text,
        negatives=model.backbone.nothing(model.text_encoders, model.empty_ids).expand(len(ids)),
        image=torch.zeros(len(ids), 3, *mask.shape[2:]),
        mask=mask,
        steps=settings.num_inference_steps,
        guidance=settings.guidance_scale,
        generators=generators,
        noise=torch.cat(noise).to(text.states.device),
        product_latents=(products.mean + products.std * torch.cat(drawn)) * model.latent_scale,  # (n, 4, h, w)
    )


def _decode(vae: AutoencoderKL, latents: torch.Tensor) -> Pixels:
    """Images (n, H, W, 3) uint8 of scaled latents (n, 4, h, w), decoded one at a time; NaN becomes black."""
    latents = (latents / vae.config["scaling_factor"]).to(vae.device, vae.dtype)
    images = torch.cat([vae.decode(latent[None]).sample.float().cpu() for latent in latents])  # -1..1
    images = (images / 2 + 0.5).clamp(0, 1).nan_to_num(0)
    return (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def _distribution(moments: NDArray[np.float32]) -> DiagonalGaussianDistribution:
    return DiagonalGaussianDistribution(torch.from_numpy(moments))


def _width(products: int, side: int) -> int:
    columns = min(products, COLUMNS)
    return columns * side + (columns - 1) * GAP


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """The model without dropout and uncompiled: a few images are not worth another compilation."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def _moved(vae: AutoencoderKL, device: torch.device) -> Iterator[None]:
    """The VAE, moved to a device while the block runs."""
    before = vae.device
    vae.to(device)  # type: ignore[arg-type]  # diffusers wraps the method
    try:
        yield
    finally:
        vae.to(before)  # type: ignore[arg-type]
