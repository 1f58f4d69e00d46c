"""Send pictures through the diffusion model's autoencoder, so that the judge does not take its softness for a flaw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from p2i_ray.mini.world import Sample

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

NOISE = 0.3  # largest noise on the latents, in their standard deviations: as an undertrained diffusion model leaves


class Softener:
    """Sends a fraction of the pictures through the autoencoder, or through mild blur and tint where there is none.

    As in generated pictures, the product's own pixels are pasted back.
    """

    def __init__(self, vae: Path | None, seed: int, share: float = 0.3) -> None:
        self._vae, self._seed, self._share = _load(vae) if vae else None, seed, share

    def __call__(self, samples: Sequence[Sample], step: int) -> np.ndarray:
        """The samples' pictures, some of them softened: uint8 (B, 64, 64, 3)."""
        images = np.stack([sample.image for sample in samples])
        rng = np.random.default_rng([self._seed, step, 77])
        chosen = np.flatnonzero(rng.random(len(samples)) < self._share)
        if not len(chosen):
            return images
        pixels = torch.from_numpy(images[chosen]).permute(0, 3, 1, 2).float() / 127.5 - 1  # (b, 3, 64, 64) in [-1, 1]
        noisy = self._share < 1  # the checks want the plain reconstruction
        soft = self._through_vae(pixels, rng, noisy) if self._vae is not None else _stand_in(pixels, rng)
        back = ((soft.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        masks = np.stack([samples[i].mask for i in chosen])[..., None]
        images[chosen] = np.where(masks > 0, images[chosen], back)
        return images

    @torch.no_grad()
    def _through_vae(self, pixels: torch.Tensor, rng: np.random.Generator, noisy: bool) -> torch.Tensor:
        assert self._vae is not None
        latents = self._vae.encode(pixels).latent_dist.mode().float()  # (b, 4, h, w)
        if noisy:
            generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
            amount = torch.from_numpy(
                (rng.random(len(pixels)) * NOISE * (rng.random(len(pixels)) < 0.6)).astype(np.float32)
            )
            noise = torch.randn(latents.shape, generator=generator)
            coarse = functional.interpolate(noise[..., ::4, ::4], size=noise.shape[-2:], mode="bilinear")
            # Strong noise is fine-grained, weak noise comes as patches of wrong colour.
            noise = torch.where((amount > NOISE / 2)[:, None, None, None], noise, 2 * coarse) * latents.std()
            latents = latents + amount[:, None, None, None] * noise
        decoded: torch.Tensor = self._vae.decode(latents).sample
        return decoded.float()


def _load(folder: Path) -> AutoencoderKL:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    vae: AutoencoderKL = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32)
    vae.train(False)
    return vae


def _stand_in(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Shrink by 1.3 to 2.4 and enlarge again, tint, and add a little smooth noise."""
    side = pixels.shape[-1]
    small = functional.interpolate(pixels, size=round(side / (1.3 + 1.1 * rng.random())), mode="area")
    soft = functional.interpolate(small, size=side, mode="bilinear", align_corners=False)
    count = len(pixels)
    gain = torch.from_numpy((1 + 0.2 * (rng.random((count, 3, 1, 1)) - 0.5)).astype(np.float32))
    shift = torch.from_numpy((0.16 * (rng.random((count, 3, 1, 1)) - 0.5)).astype(np.float32))
    noise = torch.from_numpy(rng.normal(0, 0.12 * rng.random((count, 1, 1, 1)), (count, 3, 16, 16)).astype(np.float32))
    return soft * gain + shift + functional.interpolate(noise, size=side, mode="bilinear", align_corners=False)
