"""ControlNet inpainting: a copy of the UNet's encoder adds what it makes of the product's canny edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.pipelines.controlnet.pipeline_controlnet_inpaint import StableDiffusionControlNetInpaintPipeline
from numpy.typing import NDArray

from p2i_ray.diffusion.backbones.stable_diffusion import NO_SAFETY
from p2i_ray.diffusion.baselines.baseline_sampler import BaselineSampler
from p2i_ray.diffusion.model.loading import Parts, load_model
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.diffusion.sampling.sampler import DTYPES
from p2i_ray.storage import folders

LOW, HIGH = 100, 200  # thresholds of the edges' strength, as ControlNet's own examples have them


class ControlNetSampler(BaselineSampler):
    """The sampler with a ControlNet; edges are those of the product alone, since nothing else is known."""

    def _build(self, parts: Parts) -> Any:
        assert self._settings.controlnet
        with folders.local_folder(self._settings.controlnet) as folder:
            dtype = DTYPES[self._options.dtype]
            network = load_model(ControlNetModel.from_pretrained, folder, "", torch_dtype=dtype)
        make: Any = StableDiffusionControlNetInpaintPipeline  # diffusers' types leave out that parts may be missing
        pipeline = make(
            vae=parts.vae,
            text_encoder=None,
            tokenizer=None,
            unet=parts.denoiser,
            controlnet=network,
            scheduler=parts.scheduler,
            **NO_SAFETY,
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def _more(self, requests: Sequence[PaintRequest]) -> dict[str, Any]:
        edges = np.stack([edges_of(request) for request in requests])
        control = torch.from_numpy(edges)[:, None].expand(-1, 3, -1, -1)  # (B, 3, H, W), 0 or 1
        return {"control_image": control, "controlnet_conditioning_scale": self._settings.controlnet_scale}


def edges_of(request: PaintRequest) -> NDArray[np.float32]:
    """The product's canny edges (H, W), 1 where there is one; its outline is one, against grey."""
    inside = request.mask >= 128
    grey = np.where(inside, cv2.cvtColor(request.product, cv2.COLOR_RGB2GRAY), 127).astype(np.uint8)
    return (cv2.Canny(grey, LOW, HIGH) > 0).astype(np.float32)
