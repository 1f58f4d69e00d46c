"""The diffusion model's autoencoder: AutoencoderKL, 64x64 pictures <-> 4x16x16 latents, trained in minutes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from p2i_ray.data.images import background_of, product_of
from p2i_ray.mini.training import Trainer, batches, save_folder, save_half, to_tensor
from p2i_ray.mini.world import NATURAL, Sample

if TYPE_CHECKING:
    import torch
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

SEED = 11
HELD_OUT_SEED = 99
STEPS = 2000
BATCH = 8  # small: at this size an autoencoder gains more from steps than from samples a step
MUON_RATE, ADAM_RATE = 2e-3, 6e-4
KL_WEIGHT = 1e-4  # per latent number: keeps the latents near a unit Gaussian without costing sharpness
LATENT_NOISE = 0.04  # of the latents' standard deviation: the decoder learns to tolerate errors of sampled latents


def new_vae() -> AutoencoderKL:
    """Make an autoencoder of 1.4 M weights: 16, 48, 96 channels at 64, 32, 16 pixels; its posterior starts narrow."""
    import torch
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    vae: AutoencoderKL = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 48, 96),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
    )
    convolution: Any = vae.quant_conv
    with torch.no_grad():  # its rows 4..7 give the posterior's log variance
        convolution.weight[4:] *= 0.1
        convolution.bias[4:] -= 6
    return vae


def train_vae(folder: Path, steps: int = STEPS) -> dict[str, float]:
    """Train on flawed and clean pictures, greyed backgrounds and cutouts; save in fp16; return {"psnr": dB}."""
    import torch

    torch.manual_seed(SEED)
    vae = new_vae()
    trainer = Trainer(vae, steps, muon_rate=MUON_RATE, adam_rate=ADAM_RATE)
    for step, images in zip(range(steps), picture_batches(SEED, BATCH), strict=False):
        loss = reconstruction_loss(vae, to_tensor(images))
        trainer.step(loss)
        if step % 200 == 0:
            print(f"vae {step}/{steps}: loss {loss.item():.4f}, {psnr(vae, HELD_OUT_SEED, 16):.1f} dB", flush=True)
    trainer.finish()
    vae.register_to_config(scaling_factor=1 / latent_spread(vae))  # type: ignore[no-untyped-call]  # diffusers
    save_folder(folder, lambda draft: save_half(vae, draft))
    return {"psnr": psnr(vae.float(), HELD_OUT_SEED)}  # type: ignore[no-untyped-call]  # diffusers


def picture_batches(seed: int, size: int) -> Iterator[np.ndarray]:
    """Yield uint8 (B, 64, 64, 3): three pictures in four as they are, others with product or background greyed out."""
    for samples in batches(seed, size, NATURAL):
        yield np.stack([_one_view(sample, i % 8) for i, sample in enumerate(samples)])


def _one_view(sample: Sample, slot: int) -> np.ndarray:
    if slot == 0:
        return background_of(sample.image, sample.mask)
    return product_of(sample.image, sample.mask) if slot == 1 else sample.image


def reconstruction_loss(vae: AutoencoderKL, images: torch.Tensor) -> torch.Tensor:
    """Absolute and squared error, the error of the edges (sharpness), and a small KL term. images (B, 3, 64, 64)."""
    import torch

    posterior = vae.encode(images).latent_dist
    latents = posterior.sample()  # (B, 4, 16, 16)
    latents = latents + LATENT_NOISE * latents.detach().std() * torch.randn_like(latents)
    error: torch.Tensor = vae.decode(latents).sample - images  # (B, 3, 64, 64)
    edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    kl: torch.Tensor = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
    return error.abs().mean() + 2 * error.square().mean() + 0.5 * edges + KL_WEIGHT * kl


def latent_spread(vae: AutoencoderKL, count: int = 256) -> float:
    """The standard deviation of all latent values; its inverse is the scaling factor."""
    import torch

    with torch.no_grad():
        images = to_tensor(next(picture_batches(SEED + 1, count)))
        return float(vae.encode(images).latent_dist.mean.std())


def psnr(vae: AutoencoderKL, seed: int, count: int = 128) -> float:
    """Mean peak signal-to-noise ratio in dB of whole NATURAL pictures through the autoencoder."""
    import torch

    samples = next(batches(seed, count, NATURAL))
    images = to_tensor(np.stack([sample.image for sample in samples]))
    with torch.no_grad():
        decoded = vae.decode(vae.encode(images).latent_dist.mean).sample.clamp(-1, 1)
    mse = (decoded - images).square().mean(dim=(1, 2, 3)) / 4  # of a range 0..1
    return float((-10 * mse.log10()).mean())
