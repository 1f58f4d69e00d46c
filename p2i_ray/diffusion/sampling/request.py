"""One image to paint, as the sampler takes it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from p2i_ray.data.images import Pixels

VAE_STEPS = 4  # the VAE's share, in denoising steps


def work(width: int, height: int, steps: int, guidance: float) -> float:
    """The cost of painting an image: pixels times denoising steps, twice as many with guidance, and the VAE.

    Args:
        width: pixels.
        height: pixels.
        steps: denoising steps.
        guidance: classifier-free guidance scale; 1 is off.
    """
    return width * height * (steps * (2 if guidance > 1 else 1) + VAE_STEPS)


@dataclass(frozen=True)
class PaintRequest:
    """One image to paint.

    Attributes:
        name: the product's name.
        product: (H, W, 3) uint8; only the product's pixels matter.
        mask: (H, W) uint8, 255 where the product is.
        seed: of the noise; the image depends on nothing else in its batch.
        steps: denoising steps.
        guidance: classifier-free guidance scale; 1 is off.
        negative: negative prompt; empty: none.
        soft_edge: blur of the mask's edge when the product is pasted back, pixels.
        paste_product: whether the product's own pixels are put back.
    """

    name: str
    product: Pixels
    mask: Pixels
    seed: int
    steps: int
    guidance: float
    negative: str = ""
    soft_edge: float = 0.0
    paste_product: bool = True

    @property
    def work(self) -> float:
        """See `work`."""
        height, width = self.mask.shape
        return work(width, height, self.steps, self.guidance)

    def pasted_mask(self) -> Pixels:
        """The mask (H, W) with which the product is pasted back, its edge blurred over soft_edge pixels."""
        if not self.soft_edge:
            return self.mask
        return np.asarray(Image.fromarray(self.mask).filter(ImageFilter.GaussianBlur(self.soft_edge)))

    @property
    def batch_key(self) -> Hashable:
        """Requests with equal keys can share a batch: same size, same steps, all with guidance or all without."""
        return self.mask.shape, self.steps, self.guidance > 1
