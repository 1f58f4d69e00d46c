"""IP-Adapter: further cross-attention of the UNet reads a picture, of the product or a reference, beside the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers.models.embeddings import ImageProjection
from PIL import Image
from safetensors.torch import load
from transformers import CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from p2i_ray.diffusion.baselines.baseline_sampler import BaselineSampler
from p2i_ray.diffusion.baselines.extras import ATTENTION, PROJECTION
from p2i_ray.diffusion.baselines.shown_reference import WHITE
from p2i_ray.diffusion.model.loading import Parts, load_model, load_part
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.diffusion.sampling.sampler import DTYPES
from p2i_ray.encoders import processor_files, weight_files
from p2i_ray.storage import folders, locations


class IpAdapterSampler(BaselineSampler):
    """The sampler with an IP-Adapter that sees each product on white, or the background of its reference."""

    def _build(self, parts: Parts) -> Any:
        pipeline = super()._build(parts)
        settings, dtype = self._settings, DTYPES[self._options.dtype]
        assert settings.ip_adapter and settings.ip_adapter_encoder
        with folders.local_folder(settings.ip_adapter_encoder) as folder:
            kind: Any = CLIPVisionModelWithProjection
            self._encoder = load_model(kind.from_pretrained, folder, "", name=weight_files.TRANSFORMERS, dtype=dtype)
            self._encoder.to(self._options.device).eval()
            self._processor = _processor(folder, self._encoder.config.image_size)
        flat = load(locations.read_bytes(settings.ip_adapter))
        state = {
            part.rstrip("."): {n.removeprefix(part): v for n, v in flat.items() if n.startswith(part)}
            for part in (PROJECTION, ATTENTION)
        }
        pipeline.load_ip_adapter(state, subfolder="", weight_name="", image_encoder_folder=None)
        pipeline.set_ip_adapter_scale(settings.ip_adapter_scale)
        projections: Any = parts.denoiser.encoder_hid_proj
        self._is_plain = isinstance(projections.image_projection_layers[0], ImageProjection)
        return pipeline

    def _more(self, requests: Sequence[PaintRequest]) -> dict[str, Any]:
        pictures = [Image.fromarray(_shown(request)) for request in requests]
        pixels = self._processor(images=pictures, return_tensors="pt")["pixel_values"]
        pixels = pixels.to(self._encoder.device, self._encoder.dtype)
        features, nothing = self._features(pixels), self._features(torch.zeros_like(pixels), empty=True)
        guided = requests[0].guidance > 1
        return {"ip_adapter_image_embeds": [torch.cat([nothing, features]) if guided else features]}

    def _features(self, pixels: torch.Tensor, *, empty: bool = False) -> torch.Tensor:
        """The adapter's input: (B, 1, d) of a plain one, (B, 1, patches, d) of a "plus"; of no picture, `empty`."""
        features: torch.Tensor
        if self._is_plain:
            features = self._encoder(pixels).image_embeds[:, None]
            return torch.zeros_like(features) if empty else features
        features = self._encoder(pixels, output_hidden_states=True).hidden_states[-2][:, None]
        return features


def _processor(folder: str, side: int) -> CLIPImageProcessorPil:
    """The encoder's preprocessing; the published folder has none, and is then seen as CLIP sees at its own size."""
    if processor_files.there(folder):
        return load_part(CLIPImageProcessorPil.from_pretrained, folder, "")
    return CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})


def _shown(request: PaintRequest) -> np.ndarray[Any, np.dtype[np.uint8]]:
    reference = getattr(request, "shown", None)
    if reference is not None:
        return np.asarray(reference)
    return np.where(request.mask[..., None] >= 128, request.product, np.uint8(WHITE))
