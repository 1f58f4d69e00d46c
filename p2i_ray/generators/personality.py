"""The Personality-Wise Generator: the style of one reference picture's background, without words.

The copy sees the reference's background, I (1 - M), at full resolution. What its cross-attention gives is masked by
1 - M of the product that is painted around, so that style reaches the background only. The rest of the copy still
carries some of it to the product's place; `masked="all"` leaves none: whatever the copy adds to the base is masked too.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import nn

from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.diffusion.model.loading import Parts
from p2i_ray.generators.generator import Control, Generator, Kind, Residuals, copy_of
from p2i_ray.generators.masked_attention import layer_masks
from p2i_ray.generators.prompts import Templates
from p2i_ray.generators.reference_tokens import ReferenceTokens, reference_tokens

Masked = Literal["attention", "all"]


class PersonalityGenerator(Generator):
    """A copy whose attention to the text leaves out the product."""

    kind: ClassVar[Kind] = "personality"

    def __init__(
        self,
        copy: ControlNetModel,
        templates: Templates,
        masked: Masked = "attention",
        tokens: ReferenceTokens | None = None,
    ) -> None:
        """Take the parts; see `make` for a new one.

        Args:
            copy: the copy.
            templates: of the prompt.
            masked: what leaves out the product.
            tokens: the copy is told of the reference by them, and doesn't see it (none: it sees it).
        """
        super().__init__(copy, "background_only")
        self.templates, self.masked, self.tokens = templates, masked, tokens

    @classmethod
    def make(cls, parts: Parts, settings: GeneratorsConfig, *, seed: int) -> PersonalityGenerator:
        """A new one beside a base, which it changes nothing of yet.

        Args:
            parts: the base.
            settings: its prompt, and what is masked.
            seed: of the weights that aren't copied.

        Raises:
            UserError: the CLIP of the settings can't be used.
        """
        copy, tokens = copy_of(parts.denoiser, parts.pixels_per_latent, seed=seed), None
        if settings.reference_clip is not None:
            tokens = reference_tokens(settings.reference_clip, int(copy.config["cross_attention_dim"]), seed=seed)
        return cls(copy, Templates(settings.product_prompt), settings.masked, tokens)

    @property
    def frozen(self) -> tuple[nn.Module, ...]:
        """The CLIP of its tokens, where it has some."""
        return () if self.tokens is None else (self.tokens.encoder, self.tokens.to_embedding)

    def forward(
        self, latents: torch.Tensor, timesteps: torch.Tensor, control: Control, added: dict[str, torch.Tensor] | None
    ) -> Residuals:
        """See `Generator.forward`."""
        if self.tokens is not None:
            told = self.tokens(control.picture).to(control.states.dtype)  # (B, TOKENS, d)
            nothing = torch.zeros_like(control.picture)
            control = Control(torch.cat([control.states, told], dim=1), nothing, control.mask)
        found = super().forward(latents, timesteps, control, added)
        if self.masked == "attention":
            return found
        masks = layer_masks(self.copy, control.mask, (latents.shape[2], latents.shape[3]))
        down, middle = (
            [values * (1 - masks.at(values.shape[2], values.shape[3])).to(values.dtype) for values in some]
            for some in (found.down, [found.middle])
        )
        return Residuals(down, middle[0])

    @staticmethod
    def control(
        text: torch.Tensor,
        *,
        reference: torch.Tensor,
        reference_mask: torch.Tensor,
        mask: torch.Tensor,
    ) -> Control:
        """The copy's inputs.

        Args:
            text: states of P_fg, (B, L, d).
            reference: pictures, (B, 3, H, W), 0 to 1; in training the picture itself, spoilt.
            reference_mask: (B, 1, H, W), 1 where their products are.
            mask: the same of the product that is painted around.
        """
        return Control(text, reference * (1 - reference_mask), mask)
