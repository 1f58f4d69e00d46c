"""What diffusers' own pipelines paint of a request: what a user of a model folder gets."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from p2i_ray.data.images import Pixels, paste_product
from p2i_ray.diffusion.sampling.request import PaintRequest


def paint(pipeline: Any, request: PaintRequest, *, prompt: str, **more: Any) -> Pixels:
    """The picture, with the product's own pixels put back; `more` are further arguments of the call."""
    pipeline.set_progress_bar_config(disable=True)
    height, width = request.mask.shape
    painted = pipeline(
        prompt=prompt,
        image=Image.fromarray(request.product),
        mask_image=Image.fromarray(255 - request.mask),
        height=height,
        width=width,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance,
        generator=torch.Generator().manual_seed(request.seed),
        output_type="np",
        **more,
    ).images[0]
    return paste_product((painted * 255).round().astype(np.uint8), request.product, request.mask)
