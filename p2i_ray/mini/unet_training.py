"""Pre-train the diffusion model: a 9-channel UNet that generates any captioned scene around any product.

Its training pictures resemble a retailer's, some of them flawed, with every product in every scene. The finished folder
is a diffusers StableDiffusionInpaintPipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from p2i_ray.mini.captions import object_caption, scene_caption, whole_caption
from p2i_ray.mini.scenefit import scene_fit
from p2i_ray.mini.tokenizer import MAX_LENGTH
from p2i_ray.mini.training import ANY_SCENE, Trainer, save_folder, save_half, to_tensor
from p2i_ray.mini.world import CLEAN, Sample, render

if TYPE_CHECKING:
    import torch
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_inpaint import StableDiffusionInpaintPipeline
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
    from transformers import CLIPTextModel, CLIPTokenizer

SEED = 31
HELD_OUT_SEED = 97
STEPS = 1500
BATCH = 32
POOL = 6000  # pictures encoded once
MUON_RATE, ADAM_RATE = 3e-3, 1e-3
SNR_CAP = 5.0  # min-SNR weighting, https://arxiv.org/abs/2303.09556
TIMESTEPS = 1000
NOISE: dict[str, Any] = {
    "num_train_timesteps": TIMESTEPS,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}


@dataclass(frozen=True)
class Pool:
    """N encoded pictures; latents are scaled."""

    latents: torch.Tensor  # (N, 4, 16, 16), of the whole picture
    product_latents: torch.Tensor  # (N, 4, 16, 16), of the product on grey
    masks: torch.Tensor  # (N, 1, 16, 16), 1 where to generate
    captions: list[str]


def train_unet(folder: Path, clip_folder: Path, evaluator_folder: Path, steps: int = STEPS) -> dict[str, float]:
    """Train the UNet with `folder`/vae and the CLIP's text encoder, and write the whole pipeline to `folder`.

    Returns:
        How often the evaluator recognises the scene of the caption, and the right scene for a listing name alone.
    """
    import torch
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
    from transformers import CLIPTextModel, CLIPTokenizer

    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    vae: AutoencoderKL = AutoencoderKL.from_pretrained(folder / "vae")
    text_encoder = CLIPTextModel.from_pretrained(clip_folder, dtype=torch.float32)
    vae.train(False)
    text_encoder.train(False)
    tokenizer = CLIPTokenizer.from_pretrained(clip_folder)
    pool, noise_schedule = encode_pool(vae, rng, POOL), DDPMScheduler(**NOISE)
    unet = new_unet(text_encoder.config.hidden_size)
    trainer = Trainer(unet, steps, muon_rate=MUON_RATE, adam_rate=ADAM_RATE)
    for step in range(steps):
        rows = torch.from_numpy(rng.integers(len(pool.captions), size=BATCH))
        tokens = _tokens(tokenizer, [pool.captions[i] for i in rows])  # (B, 32)
        with torch.no_grad():
            text = text_encoder(tokens).last_hidden_state  # (B, 32, 128)
        loss = inpainting_loss(unet, noise_schedule, pool, rows=rows, text=text)
        trainer.step(loss)
        if step % 100 == 0:
            print(f"unet {step}/{steps}: loss {loss.item():.4f}", flush=True)
    trainer.finish()
    pipeline = new_pipeline(vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet)
    save_folder(folder, lambda draft: save_half(pipeline, draft))
    return unet_accuracy(folder, evaluator_folder)


def new_unet(text_width: int) -> UNet2DConditionModel:
    """Make a UNet of 2.5 M weights: 64 and 96 channels at 16 and 8 pixels, attention at 8 only (for speed)."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    unet: UNet2DConditionModel = UNet2DConditionModel(
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
    return unet


def encode_pool(vae: AutoencoderKL, rng: np.random.Generator, count: int) -> Pool:
    """Render `count` pictures of any product in any scene and encode them; one caption in ten is empty (for CFG)."""
    import torch

    parts, captions = [], []
    for start in range(0, count, 100):
        samples = [render(SEED, i, ANY_SCENE) for i in range(start, min(count, start + 100))]
        parts.append(encode(vae, samples))
        captions += [_caption(rng, sample) for sample in samples]
    latents, product_latents, masks = (torch.cat(several) for several in zip(*parts, strict=True))
    return Pool(latents, product_latents, masks, captions)


def encode(vae: AutoencoderKL, samples: Sequence[Sample]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Encode samples for the UNet, as the inpainting pipeline does: latents, product latents and masks of `Pool`."""
    import torch
    from torch.nn.functional import interpolate

    images = to_tensor(np.stack([s.image for s in samples]))  # (B, 3, 64, 64)
    product = torch.from_numpy(np.stack([s.mask for s in samples]) > 127)[:, None].float()  # (B, 1, 64, 64)
    config: Any = vae.config
    with torch.no_grad():
        latents, product_latents = (
            vae.encode(picture).latent_dist.mean * config.scaling_factor for picture in (images, images * product)
        )
    return latents, product_latents, interpolate(1 - product, size=(16, 16))


def inpainting_loss(
    unet: UNet2DConditionModel, noise_schedule: DDPMScheduler, pool: Pool, *, rows: torch.Tensor, text: torch.Tensor
) -> torch.Tensor:
    """The squared error of the predicted noise at random times, weighted by min-SNR. rows (B,), text (B, 32, 128)."""
    import torch

    latents = pool.latents[rows]  # (B, 4, 16, 16)
    noise = torch.randn_like(latents)
    times = torch.randint(0, TIMESTEPS, (len(rows),))
    noisy = noise_schedule.add_noise(latents, noise, cast("torch.IntTensor", times))
    inputs = torch.cat([noisy, pool.masks[rows], pool.product_latents[rows]], dim=1)  # (B, 9, 16, 16)
    error: torch.Tensor = (unet(inputs, times, text).sample - noise).square().mean(dim=(1, 2, 3))  # (B,)
    alpha = noise_schedule.alphas_cumprod[times]
    snr = alpha / (1 - alpha)
    return (error * snr.clamp(max=SNR_CAP) / snr).mean()


def _caption(rng: np.random.Generator, sample: Sample) -> str:
    kind = rng.random()
    if kind < 0.1:
        return ""
    write = whole_caption if kind < 0.5 else scene_caption if kind < 0.9 else object_caption
    return write(rng, sample)


def _tokens(tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    encoded = tokenizer(texts, padding="max_length", max_length=MAX_LENGTH, truncation=True, return_tensors="pt")
    ids: torch.Tensor = encoded.input_ids
    return ids


def new_pipeline(
    *, vae: AutoencoderKL, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, unet: UNet2DConditionModel
) -> StableDiffusionInpaintPipeline:
    """Make the inpainting pipeline of the parts, with the paper's scheduler."""
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_inpaint import StableDiffusionInpaintPipeline
    from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler

    scheduler = EulerAncestralDiscreteScheduler(**NOISE, timestep_spacing="trailing", steps_offset=1)
    no_part: Any = None  # the pipeline works without these; its types don't say so
    return StableDiffusionInpaintPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=cast("Any", scheduler),  # its type names another scheduler; the paper's is this one
        safety_checker=no_part,
        feature_extractor=no_part,
        requires_safety_checker=False,
    )


def generate(
    pipeline: StableDiffusionInpaintPipeline,
    prompts: list[str],
    samples: Sequence[Sample],
    *,
    steps: int = 30,
    guidance_scale: float = 3.0,
) -> np.ndarray:
    """Generate new backgrounds behind the samples' products, 64 at a time, seeded: uint8 (B, 64, 64, 3)."""
    import torch

    images = to_tensor(np.stack([s.image for s in samples]))  # (B, 3, 64, 64) in -1..1
    background = torch.from_numpy(np.stack([s.mask for s in samples]) <= 127)[:, None].float()
    generated = []
    for at in (slice(start, start + 64) for start in range(0, len(prompts), 64)):
        generator = torch.Generator().manual_seed(SEED + at.start)
        call: dict[str, Any] = {
            "height": 64,
            "width": 64,
            "num_inference_steps": steps,
            "guidance_scale": guidance_scale,
            "output_type": "np",
        }
        result: Any = pipeline(prompts[at], image=images[at], mask_image=background[at], generator=generator, **call)
        generated.append((np.asarray(result.images) * 255).round().astype(np.uint8))
    return np.concatenate(generated)


def unet_accuracy(folder: Path, evaluator_folder: Path, count: int = 64) -> dict[str, float]:
    """The scene fit of pictures generated from scene captions, and from listing names (chance is 1/8)."""
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_inpaint import StableDiffusionInpaintPipeline

    pipeline: StableDiffusionInpaintPipeline = StableDiffusionInpaintPipeline.from_pretrained(
        folder, safety_checker=None
    )
    pipeline.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]  # diffusers
    rng = np.random.default_rng(HELD_OUT_SEED)
    samples = [render(HELD_OUT_SEED, i, CLEAN) for i in range(count)]
    masks, categories = np.stack([s.mask for s in samples]), [s.category for s in samples]
    prompts_of = {
        "scene_captions": [scene_caption(rng, s) for s in samples],
        "listing_names": [s.name for s in samples],
    }
    return {
        f"scene_fit_{kind}": scene_fit(generate(pipeline, prompts, samples), masks, categories, evaluator_folder)
        for kind, prompts in prompts_of.items()
    }
