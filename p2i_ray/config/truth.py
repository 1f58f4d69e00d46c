"""Settings of the truth report: when a picture still shows the shop's product as it is."""

from __future__ import annotations

from pydantic import Field

from p2i_ray.config.base import Settings


class TruthConfig(Settings):
    """The differences that a faultless product may have, in the pictures of the service."""

    min_unchanged: float = Field(
        0.98, ge=0, le=1, description="fraction of the product's pixels that must be as they were sent"
    )
    max_colour: float = Field(
        1.0, ge=0, le=100, description="largest mean colour difference of its pixels, CIEDE2000; 1 is just visible"
    )
    max_expansion: float = Field(
        0.1, ge=0, description="largest growth of the product beyond its outline, fraction of its area"
    )
    read_text: bool = Field(
        False,
        description="also read the product's label before and after, with the OCR package rapidocr: about a second a "
        "picture",
    )
