"""The painter before fine-tuning: a 9-channel UNet that paints any captioned scene around any product.

It has seen sellers' photos, some of them flawed, and products in all scenes alike. The finished folder is a diffusers
StableDiffusionInpaintPipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from p2i_ray.mini.captions import object_caption, scene_caption, whole_caption
from p2i_ray.mini.scenefit import scene_fit
from p2i_ray.mini.tokenizer import MAX_LENGTH
from p2i_ray.mini.training import ANY_SCENE, Trainer, save_folder, save_half, to_tensor
from p2i_ray.mini.world import CLEAN, Sample, render

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

SEED = 31
HELD_OUT_SEED = 97
STEPS = 1500
BATCH = 32
POOL = 6000  # pictures encoded once
MUON_RATE, ADAM_RATE = 3e-3, 1e-3
SNR_CAP = 5.0  # min-SNR weighting, https://arxiv.org/abs/2303.09556
NOISE = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@dataclass(frozen=True)
class Pool:
    """Encoded pictures: scaled latents of the whole and of the product on grey (N, 4, 16, 16), mask (N, 1, 16, 16) with
    1 where to paint, and N captions."""

    latents: torch.Tensor
    product_latents: torch.Tensor
    masks: torch.Tensor
    captions: list[str]


def train_painter(folder: Path, clip_folder: Path, evaluator_folder: Path, steps: int = STEPS) -> dict[str, float]:
    """Trains the UNet on `folder`/vae and the CLIP's text tower, and writes the whole pipeline to `folder`.

    Returns:
        How often the evaluator sees the scene that the caption asks for, and the right scene from a listing name alone.
    """
    import torch
    from diffusers import AutoencoderKL, DDPMScheduler
    from transformers import CLIPTextModel, CLIPTokenizer

    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    vae = AutoencoderKL.from_pretrained(folder / "vae").eval()
    text_encoder = CLIPTextModel.from_pretrained(clip_folder, dtype=torch.float32).eval()
    tokenizer = CLIPTokenizer.from_pretrained(clip_folder)
    pool, noise_of = encode_pool(vae, rng, POOL), DDPMScheduler(**NOISE)
    unet = new_unet(text_encoder.config.hidden_size)
    trainer = Trainer(unet, steps, MUON_RATE, ADAM_RATE)
    for step in range(steps):
        rows = torch.from_numpy(rng.integers(len(pool.captions), size=BATCH))
        tokens = _tokens(tokenizer, [pool.captions[i] for i in rows])  # (B, 32)
        with torch.no_grad():
            text = text_encoder(tokens).last_hidden_state  # (B, 32, 128)
        loss = inpainting_loss(unet, noise_of, pool, rows, text)
        trainer.step(loss)
        if step % 100 == 0:
            print(f"unet {step}/{steps}: loss {loss.item():.4f}", flush=True)
    trainer.finish()
    save_folder(folder, lambda draft: _save(vae, text_encoder, tokenizer, unet, draft))
    return painter_accuracy(folder, evaluator_folder)


def new_unet(text_width: int) -> UNet2DConditionModel:
    """64 and 96 channels at 16 and 8 pixels; 2.5 M weights. Attention at 8 only: at 16 it would double the time."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16,
        in_channels=9,  # noisy latent 4, mask 1, product latent 4, in this order
        out_channels=4,
        block_out_channels=(64, 96),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=text_width,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def encode_pool(vae: AutoencoderKL, rng: np.random.Generator, count: int) -> Pool:
    """Renders `count` pictures of any product in any scene and encodes them; one caption in ten is empty (for CFG)."""
    import torch

    parts, captions = [], []
    for start in range(0, count, 100):
        samples = [render(SEED, i, ANY_SCENE) for i in range(start, min(count, start + 100))]
        parts.append(encode(vae, samples))
        captions += [_caption(rng, sample) for sample in samples]
    latents, product_latents, masks = (torch.cat(several) for several in zip(*parts, strict=True))
    return Pool(latents, product_latents, masks, captions)


def encode(vae: AutoencoderKL, samples: Sequence[Sample]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the UNet sees of each sample, as StableDiffusionInpaintPipeline prepares it; see `Pool`."""
    import torch
    from torch.nn.functional import interpolate

    images = to_tensor(np.stack([s.image for s in samples]))  # (B, 3, 64, 64)
    product = torch.from_numpy(np.stack([s.mask for s in samples]) > 127)[:, None].float()  # (B, 1, 64, 64)
    with torch.no_grad():
        latents, product_latents = (
            vae.encode(picture).latent_dist.mean * vae.config.scaling_factor for picture in (images, images * product)
        )
    return latents, product_latents, interpolate(1 - product, size=(16, 16))


def inpainting_loss(
    unet: UNet2DConditionModel, noise_of: DDPMScheduler, pool: Pool, rows: torch.Tensor, text: torch.Tensor
) -> torch.Tensor:
    """The squared error of the predicted noise at random times, weighted by min-SNR. rows (B,), text (B, 32, 128)."""
    import torch

    latents = pool.latents[rows]  # (B, 4, 16, 16)
    noise = torch.randn_like(latents)
    times = torch.randint(0, NOISE["num_train_timesteps"], (len(rows),))
    noisy = noise_of.add_noise(latents, noise, times)
    seen = torch.cat([noisy, pool.masks[rows], pool.product_latents[rows]], dim=1)  # (B, 9, 16, 16)
    error = (unet(seen, times, text).sample - noise).square().mean(dim=(1, 2, 3))  # (B,)
    alpha = noise_of.alphas_cumprod[times]
    snr = alpha / (1 - alpha)
    return (error * snr.clamp(max=SNR_CAP) / snr).mean()


def _caption(rng: np.random.Generator, sample: Sample) -> str:
    kind = rng.random()
    if kind < 0.1:
        return ""
    write = whole_caption if kind < 0.5 else scene_caption if kind < 0.9 else object_caption
    return write(rng, sample)


def _tokens(tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    return tokenizer(texts, padding="max_length", max_length=MAX_LENGTH, truncation=True, return_tensors="pt").input_ids


def _save(
    vae: AutoencoderKL, text: CLIPTextModel, tokenizer: CLIPTokenizer, unet: UNet2DConditionModel, folder: Path
) -> None:
    from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionInpaintPipeline

    scheduler = EulerAncestralDiscreteScheduler(**NOISE, timestep_spacing="trailing", steps_offset=1)
    pipeline = StableDiffusionInpaintPipeline(
        vae,
        text,
        tokenizer,
        unet,
        scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    save_half(pipeline, folder)


def paint(
    pipeline: StableDiffusionInpaintPipeline,
    prompts: list[str],
    samples: Sequence[Sample],
    steps: int = 30,
    guidance: float = 3.0,
) -> np.ndarray:
    """uint8 (B, 64, 64, 3): new backgrounds behind the samples' products, 64 at a time, seeded."""
    import torch

    images = to_tensor(np.stack([s.image for s in samples]))  # (B, 3, 64, 64) in -1..1
    paintable = torch.from_numpy(np.stack([s.mask for s in samples]) <= 127)[:, None].float()
    painted = []
    for at in (slice(start, start + 64) for start in range(0, len(prompts), 64)):
        generator = torch.Generator().manual_seed(SEED + at.start)
        call = {
            "height": 64,
            "width": 64,
            "num_inference_steps": steps,
            "guidance_scale": guidance,
            "output_type": "np",
        }
        result = pipeline(prompts[at], image=images[at], mask_image=paintable[at], generator=generator, **call)
        painted.append((np.asarray(result.images) * 255).round().astype(np.uint8))
    return np.concatenate(painted)


def painter_accuracy(folder: Path, evaluator_folder: Path, count: int = 64) -> dict[str, float]:
    """The evaluator's verdict on pictures painted from scene captions, and from listing names (chance is 1/8)."""
    from diffusers import StableDiffusionInpaintPipeline

    pipeline = StableDiffusionInpaintPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    rng = np.random.default_rng(HELD_OUT_SEED)
    samples = [render(HELD_OUT_SEED, i, CLEAN) for i in range(count)]
    masks, categories = np.stack([s.mask for s in samples]), [s.category for s in samples]
    asked = {"scene_captions": [scene_caption(rng, s) for s in samples], "listing_names": [s.name for s in samples]}
    return {
        f"scene_fit_{kind}": scene_fit(paint(pipeline, prompts, samples), masks, categories, evaluator_folder)
        for kind, prompts in asked.items()
    }
