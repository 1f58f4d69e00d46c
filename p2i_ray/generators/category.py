"""The Category-Wise Generator: one background style a category, learned without any prompt of a user's.

The copy sees the product alone, I M. Where the product is, it reads P_fg; elsewhere P_bg, with the category's
identifier: so what it learns about backgrounds goes into the identifier, and what products look like does not.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import nn

from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.diffusion.model.loading import Parts
from p2i_ray.generators.categories import Categories
from p2i_ray.generators.generator import Control, Generator, Kind, copy_of
from p2i_ray.generators.identifiers import Identifiers, start_from
from p2i_ray.generators.prompts import Templates


class CategoryGenerator(Generator):
    """A copy with mask-guided cross-attention, and the identifiers of its categories."""

    kind: ClassVar[Kind] = "category"

    def __init__(
        self,
        copy: ControlNetModel,
        categories: Categories,
        identifiers: Identifiers,
        templates: Templates,
        *,
        plain: bool = False,
    ) -> None:
        """Take the parts; see `make` for a new one.

        Args:
            copy: the copy.
            categories: in the order of the identifiers.
            identifiers: of them.
            templates: of the prompts.
            plain: an ordinary ControlNet, to compare with: it reads P_fg alone, everywhere, as does the base.
        """
        assert len(categories) == identifiers.count
        super().__init__(copy, "none" if plain else "product_and_background")
        self.categories, self.identifiers, self.templates = categories, identifiers, templates
        self.plain = plain

    @classmethod
    def make(cls, parts: Parts, settings: GeneratorsConfig, categories: Categories, *, seed: int) -> CategoryGenerator:
        """A new one beside a base, which it changes nothing of yet.

        Args:
            parts: the base; its text encoders have no identifiers yet (see identifiers.attach).
            settings: prompts and identifiers.
            categories: all that it is to learn.
            seed: of the weights that aren't copied.

        Raises:
            UserError: the word that identifiers start from has no tokens.
        """
        start = start_from(parts, settings.token_from)
        return cls(
            copy_of(parts.denoiser, parts.pixels_per_latent, seed=seed),
            categories,
            Identifiers(len(categories), settings.tokens, start),
            Templates(settings.product_prompt, settings.background_prompt),
            plain=settings.plain,
        )

    @property
    def frozen(self) -> tuple[nn.Module, ...]:
        """Of a plain one the identifiers, which nothing reads."""
        return (self.identifiers,) if self.plain else ()

    @property
    def texts(self) -> int:
        """Prompts that the copy reads of each row: P_fg and P_bg, or, of a plain one, P_fg."""
        return 1 if self.plain else 2

    @staticmethod
    def control(
        product: torch.Tensor, background: torch.Tensor | None, *, image: torch.Tensor, mask: torch.Tensor
    ) -> Control:
        """The copy's inputs.

        Args:
            product: text states of P_fg, (B, L, d).
            background: those of P_bg, the same shape; none for a plain one.
            image: (B, 3, H, W), 0 to 1; only the product's pixels matter.
            mask: (B, 1, H, W), 1 where the product is.
        """
        states = product if background is None else torch.cat([product, background], dim=1)
        return Control(states, image * mask, mask)
