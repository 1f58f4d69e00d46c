"""Denoise from text states and noise by diffusers' inpainting pipeline: for the sampler and training's samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from torch import nn

from p2i_ray.diffusion.backbones.backbone import Backbone, PromptStates

GuidanceScale = float | torch.Tensor | None  # one for all rows, (B, 1, 1, 1), or none: no guidance


class AbandonedError(Exception):
    """A batch was stopped between two denoising steps, because nobody waits for it."""


def build_pipeline(
    backbone: Backbone, vae: AutoencoderKL, denoiser: nn.Module, scheduler: EulerAncestralDiscreteScheduler
) -> Any:
    """A pipeline of these parts without tokenizers and text encoders: `denoise` gives it text states."""
    pipeline = backbone.inpainting_pipeline(vae, denoiser, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@dataclass(frozen=True, kw_only=True)
class DenoiseInputs:
    """Inputs of denoising a batch of B images; L tokens of d values, h x w latents.

    Attributes:
        prompts: text states of B prompts.
        negatives: text states of the B negative prompts; none: there is no guidance.
        image: products, (B, 3, H, W), 0 to 1; where `product_latents` is given only their size matters.
        mask: (B, 1, H, W), 1 where the background is to be painted.
        steps: denoising steps.
        guidance: classifier-free guidance scale.
        generators: one for each row; see `seeded`.
        noise: the latents to start from, (B, 4, h, w); none: drawn by the pipeline.
        product_latents: scaled latents of the products, (B, 4, h, w); none: encoded and drawn by the pipeline.
        more: further arguments of the pipeline's call.
    """

    prompts: PromptStates
    negatives: PromptStates | None
    image: torch.Tensor
    mask: torch.Tensor
    steps: int
    guidance: GuidanceScale
    generators: list[torch.Generator]
    noise: torch.Tensor | None = None
    product_latents: torch.Tensor | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


def denoise(
    backbone: Backbone,
    pipeline: Any,
    inputs: DenoiseInputs,
    *,
    output: str,
    wanted: Callable[[], bool] | None = None,
) -> Any:
    """Denoise a batch.

    Args:
        backbone: of the model.
        pipeline: VAE, denoiser and noise schedule; see `build_pipeline`.
        inputs: see there.
        output: "np" for images (B, H, W, 3), 0 to 1, in an array; "latent" for scaled latents (B, 4, h, w).
        wanted: asked after each denoising step whether somebody still waits for the batch (none: always).

    Raises:
        AbandonedError: nobody waits any more.
    """

    def after_step(_: Any, step: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if wanted is not None and not wanted():
            raise AbandonedError(f"nobody waits for this batch any more, after {step + 1} of {inputs.steps} steps")
        return tensors

    height, width = inputs.image.shape[2:]
    return pipeline(
        **backbone.conditions(inputs.prompts, inputs.negatives),
        image=inputs.image,
        mask_image=inputs.mask,
        **({} if inputs.product_latents is None else {"masked_image_latents": inputs.product_latents}),
        latents=inputs.noise,
        height=height,
        width=width,
        num_inference_steps=inputs.steps,
        guidance_scale=inputs.guidance,
        generator=inputs.generators,
        output_type=output,
        callback_on_step_end=None if wanted is None else after_step,
        **inputs.more,
    ).images


def seeded(seeds: Iterable[int]) -> list[torch.Generator]:
    """A generator for each row, on the CPU: a row's noise depends on its seed alone, not on batch or device."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]
