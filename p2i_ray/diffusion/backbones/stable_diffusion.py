"""Stable Diffusion 1.x and 2.x: one text encoder, whose last state the UNet reads; noise is predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_inpaint import StableDiffusionInpaintPipeline
from torch import nn

from p2i_ray.diffusion.backbones import families
from p2i_ray.diffusion.backbones.backbone import Backbone, GuidanceOfEachRow, PromptStates

NO_SAFETY: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}


class _Pipeline(GuidanceOfEachRow, StableDiffusionInpaintPipeline):
    """The pipeline of diffusers, with a guidance for each row."""


class StableDiffusion(Backbone):
    """The first family; Stable Diffusion 2's text encoder is saved without the layer that it doesn't use."""

    family = families.STABLE_DIFFUSION
    # diffusers' types leave out that a pipeline's parts may be missing, and which parts have adapters
    _pipeline: Any = StableDiffusionInpaintPipeline
    _inpainting: Any = _Pipeline
    _without: Mapping[str, Any] = NO_SAFETY  # parts and checks that no pipeline here has

    def encode(self, encoders: Sequence[nn.Module], ids: torch.Tensor) -> PromptStates:
        """See `Backbone.encode`."""
        [encoder] = encoders
        states = encoder(input_ids=ids[:, 0]).last_hidden_state  # (B, L, d)
        return PromptStates(states, last=(states,))

    def nothing(self, encoders: Sequence[nn.Module], empty_ids: torch.Tensor) -> PromptStates:
        """The states of the empty prompt."""
        return self.encode(encoders, empty_ids)

    def noise(
        self, schedule: Any, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Eq. 1; the noise is to be predicted (Eq. 3)."""
        return schedule.add_noise(latents, noise, timesteps), noise

    def predict(
        self,
        denoiser: nn.Module,
        inputs: torch.Tensor,
        timesteps: torch.Tensor,
        *,
        text: PromptStates,
        pixels: tuple[int, int],
    ) -> torch.Tensor:
        """See `Backbone.predict`."""
        added = self._added(text, inputs, pixels)
        return cast(torch.Tensor, denoiser(inputs, timesteps, encoder_hidden_states=text.states, **added).sample)

    def _added(self, text: PromptStates, inputs: torch.Tensor, pixels: tuple[int, int]) -> dict[str, Any]:
        """The denoiser's inputs beside text and time: none."""
        return {}

    def whole(self, parts: Mapping[str, Any]) -> Any:
        """See `Backbone.whole`."""
        return self._pipeline(**parts, **self._without)

    def inpainting_pipeline(self, vae: Any, denoiser: nn.Module, scheduler: Any) -> Any:
        """See `Backbone.inpainting_pipeline`."""
        none = {name: None for text in self.family.texts for name in (text.encoder, text.tokenizer)}
        return self._inpainting(vae=vae, unet=denoiser, scheduler=scheduler, **none, **self._without)

    def conditions(self, text: PromptStates, negative: PromptStates | None) -> dict[str, Any]:
        """See `Backbone.conditions`."""
        return {"prompt_embeds": text.states, "negative_prompt_embeds": None if negative is None else negative.states}

    def unused(self, encoders: Sequence[nn.Module], aligned: int) -> list[nn.Parameter]:
        """No parameters: the UNet reads the last state."""
        return []

    def write_adapters(self, folder: Path, layers: Mapping[str, dict[str, Any]], weight_name: str) -> None:
        """See `Backbone.write_adapters`."""
        named = {f"{part}_lora_layers": state for part, state in layers.items()}
        self._pipeline.save_lora_weights(folder, **named, weight_name=weight_name)
