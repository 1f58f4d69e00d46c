"""Settings of what is done to a picture after the product was pasted into the painted scene."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from p2i_ray.config.base import Settings

LightMode = Literal["off", "rim", "whole"]


class CompositingConfig(Settings):
    """Contact shadow, and the product's light. The default changes no pixel: see docs/serving.md."""

    shadow: float = Field(
        0,
        ge=0,
        le=1,
        description="strength of the contact shadow under the product, drawn outside its mask; 0: none (models trained "
        "on photos paint shadows themselves), 0.6 looks natural",
    )
    light: LightMode = Field(
        "off",
        description="which of the product's pixels are brought towards the scene's light: none (they stay as they "
        "were, bit for bit), a band along its outline, or all",
    )
    light_strength: float = Field(
        0.5, ge=0, le=1, description="how far they are brought: 1 is to the mean colour of the scene around the product"
    )
    max_colour_difference: float = Field(
        3, gt=0, le=20, description="most that this may change them, CIEDE2000 on average over what is changed"
    )
    rim_width: float = Field(
        0.08, gt=0, le=0.5, description="width of the band of light=rim; 1 is the root of the product's area"
    )

    @property
    def changes_product(self) -> bool:
        """Whether pixels of the product are changed."""
        return self.light != "off" and self.light_strength > 0
