"""The frozen encoders: the VAE's moments of an image and of its product, and CLIP's features (r_B and r_I).

They never change while training, so every row passes through them once, and training reads the results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from numpy.typing import NDArray
from PIL import Image
from transformers import CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from p2i_ray.config import DiffusionConfig
from p2i_ray.data.images import Pixels, background_of, product_square
from p2i_ray.diffusion.model import preprocess, training_checks, validation
from p2i_ray.diffusion.model.loading import load_model
from p2i_ray.encoders.clip import clip_folder
from p2i_ray.storage import folders


class Encoded(NamedTuple):
    """Features of B rows; h x w is the latent size, d CLIP's width."""

    image_moments: NDArray[np.float32]  # (B, 8, h, w), mean and log-variance of the image's latent, unscaled
    product_moments: NDArray[np.float32]  # (B, 8, h, w), the same of the product on grey
    mask: NDArray[np.uint8]  # (B, 1, h, w), 1 where the background is to be painted
    background_clip: NDArray[np.float32]  # (B, d), r_B: CLIP's feature of the image without the product
    image_clip: NDArray[np.float32]  # (B, d), r_I: of the image; CLIP sees the square of it that shows the product


class Encoders:
    """VAE and CLIP image encoder on one device, float32."""

    def __init__(
        self,
        vae: AutoencoderKL,
        clip: CLIPModel,
        processor: CLIPImageProcessorPil,
        device: str | torch.device,
    ) -> None:
        self.vae: AutoencoderKL = cast(Any, vae).to(device).eval().requires_grad_(False)
        self.clip: CLIPModel = cast(Any, clip).to(device).eval().requires_grad_(False)
        self.processor = processor
        self.device = torch.device(device)
        self.factor = 2 ** (len(cast(Any, vae.config).block_out_channels) - 1)

    @torch.inference_mode()
    def encode(self, images: Pixels, products: Pixels) -> Encoded:
        """Encode images (B, H, W, 3) with their product masks (B, H, W), both uint8."""
        paint = preprocess.paint_mask(products)  # (B, 1, H, W)
        whole = preprocess.to_tensor(images) * 2 - 1  # (B, 3, H, W), -1..1
        backgrounds = [background_of(image, mask) for image, mask in zip(images, products, strict=True)]
        return Encoded(
            image_moments=self._moments(whole),
            product_moments=self._moments(whole * (1 - paint)),  # 0, grey, where there is no product
            mask=preprocess.at_latent_size(paint, self.factor).numpy().astype(np.uint8),
            background_clip=self._clip_features(_squares(backgrounds, products)),
            image_clip=self._clip_features(_squares(images, products)),
        )

    def _moments(self, images: torch.Tensor) -> NDArray[np.float32]:
        encoded: Any = self.vae.encode(images.to(self.device))
        return cast(NDArray[np.float32], encoded.latent_dist.parameters.cpu().numpy())

    def _clip_features(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        inputs = self.processor(images=list(images), return_tensors="pt")["pixel_values"]
        pooled = self.clip.vision_model(pixel_values=inputs.to(self.device)).pooler_output
        return cast(NDArray[np.float32], self.clip.visual_projection(pooled).cpu().numpy())


def _squares(images: Sequence[Pixels] | Pixels, products: Pixels) -> list[Image.Image]:
    """The square of each image that CLIP sees; its own processor would keep the middle, wherever the product is."""
    return [
        Image.fromarray(image).crop(product_square(mask).box)
        if mask.shape[0] != mask.shape[1]
        else Image.fromarray(image)
        for image, mask in zip(images, products, strict=True)
    ]


def load_encoders(diffusion: DiffusionConfig, device: str | torch.device) -> Encoders:
    """The frozen encoders of a base model and its CLIP.

    Raises:
        UserError: a folder is not there or has no safetensors weights.
    """
    validation.check_model(diffusion.base, widen=diffusion.widen)
    training_checks.check_clip(diffusion.clip, diffusion.base)
    with folders.local_folder(diffusion.base) as folder:
        vae = load_model(AutoencoderKL.from_pretrained, folder, "vae", torch_dtype=torch.float32)
    with clip_folder(diffusion.clip, setting="diffusion.clip") as opened:
        clip, processor = opened.model(), opened.image_processor()
    return Encoders(vae, clip, processor, device)
