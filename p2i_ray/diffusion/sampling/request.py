"""One image to paint, as the sampler takes it."""

from __future__ import annotations

from dataclasses import dataclass

from p2i_ray.data.images import Pixels


@dataclass(frozen=True)
class PaintRequest:
    """One picture to paint.

    Attributes:
        name: the product's.
        product: (H, W, 3) uint8; only the product's pixels matter.
        mask: (H, W) uint8, 255 where the product is.
        seed: of its noise; the picture depends on nothing else in the batch it rides in.
        steps: denoising steps.
        guidance: classifier-free guidance scale; 1 is off.
        negative: what it should not look like; empty: nothing.
        soft_edge: blur of the mask's edge when the product is pasted back, pixels.
    """

    name: str
    product: Pixels
    mask: Pixels
    seed: int
    steps: int
    guidance: float
    negative: str = ""
    soft_edge: float = 0.0
