"""Stable Diffusion XL: two text encoders, the state of the second at eos, and the pictures' size; noise is predicted.

The UNet reads both encoders' states before their last layer, side by side. The size of a picture, where it was cut
and the size that is wanted are three pairs of numbers: here a picture is always whole and has the size that is wanted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl_inpaint import (
    StableDiffusionXLInpaintPipeline,
)
from torch import nn

from p2i_ray.diffusion.backbones import families
from p2i_ray.diffusion.backbones.backbone import GuidanceOfEachRow, PromptStates
from p2i_ray.diffusion.backbones.stable_diffusion import StableDiffusion

BEFORE_LAST = -2  # of the states of all layers
NO_EXTRAS: dict[str, Any] = {"image_encoder": None, "feature_extractor": None, "add_watermarker": False}


def _says_something(record: logging.LogRecord) -> bool:
    """Not so: diffusers' warning, at each picture, that no modules of the VAE (an empty list) should stay float32."""
    return "should be kept in float32: []" not in record.getMessage()


logging.getLogger("diffusers.models.modeling_utils").addFilter(_says_something)


class _Pipeline(GuidanceOfEachRow, StableDiffusionXLInpaintPipeline):
    """The pipeline of diffusers, with a guidance for each row."""


@dataclass(frozen=True)
class StableDiffusionXL(StableDiffusion):
    """See `Backbone`.

    Attributes:
        zeros_for_empty: whether no prompt is zeros, as the published model's settings say, instead of the states of
            the empty prompt (force_zeros_for_empty_prompt of model_index.json).
    """

    zeros_for_empty: bool = True

    family = families.STABLE_DIFFUSION_XL
    _pipeline = StableDiffusionXLInpaintPipeline
    _inpainting = _Pipeline
    _without = NO_EXTRAS

    def encode(self, encoders: Sequence[nn.Module], ids: torch.Tensor) -> PromptStates:
        """See `Backbone.encode`."""
        first, second = (
            encoder(input_ids=ids[:, place], output_hidden_states=True) for place, encoder in enumerate(encoders)
        )
        states = torch.cat([first.hidden_states[BEFORE_LAST], second.hidden_states[BEFORE_LAST]], dim=-1)
        return PromptStates(states, second.text_embeds, (first.last_hidden_state, second.last_hidden_state))

    def nothing(self, encoders: Sequence[nn.Module], empty_ids: torch.Tensor) -> PromptStates:
        """See `Backbone.nothing`."""
        if not self.zeros_for_empty:
            return self.encode(encoders, empty_ids)
        first, second = (cast(Any, encoder) for encoder in encoders)
        width = first.config.hidden_size + second.config.hidden_size
        of_encoder = {"dtype": first.dtype, "device": empty_ids.device}
        states = torch.zeros(1, empty_ids.shape[2], width, **of_encoder)  # (1, L, d)
        return PromptStates(states, torch.zeros(1, second.config.projection_dim, **of_encoder))

    def _added(self, text: PromptStates, inputs: torch.Tensor, pixels: tuple[int, int]) -> dict[str, Any]:
        sizes = torch.tensor([*pixels, 0, 0, *pixels], dtype=text.states.dtype, device=inputs.device)
        return {"added_cond_kwargs": {"text_embeds": text.pooled, "time_ids": sizes.expand(len(inputs), -1)}}  # (B, 6)

    def whole(self, parts: Mapping[str, Any]) -> Any:
        """See `Backbone.whole`."""
        return super().whole({**parts, "force_zeros_for_empty_prompt": self.zeros_for_empty})

    def conditions(self, text: PromptStates, negative: PromptStates | None) -> dict[str, Any]:
        """See `Backbone.conditions`; painting starts from noise alone, not from the product's noised picture."""
        return {
            **super().conditions(text, negative),
            "pooled_prompt_embeds": text.pooled,
            "negative_pooled_prompt_embeds": None if negative is None else negative.pooled,
            "strength": 1.0,
        }

    def unused(self, encoders: Sequence[nn.Module], aligned: int) -> list[nn.Parameter]:
        """The first encoder's last layer and final layer norm, unless CLIP's features are compared with its state."""
        if aligned == 0:
            return []
        first: Any = encoders[0]
        return [*first.encoder.layers[-1].parameters(), *first.final_layer_norm.parameters()]
