"""Painting: diffusers' inpainting pipeline with <background> in the prompt and the product's own pixels put back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageFilter

from p2i_ray.config import DiffusionConfig, GenerateConfig
from p2i_ray.data.images import Pixels, paste_product
from p2i_ray.diffusion.model import loading
from p2i_ray.diffusion.model.preprocess import paint_mask, to_tensor
from p2i_ray.diffusion.model.prompt import empty_prompt, tokenise

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Painter:
    """A trained model on one device. Not for several threads at once: the sampler keeps its place in itself."""

    def __init__(
        self,
        location: str,
        diffusion: DiffusionConfig,
        settings: GenerateConfig,
        device: str | torch.device,
    ) -> None:
        """Load a model folder.

        A base model that doesn't know the token yet is taught it first (it then stands for `token_from`), and widened
        where it is to be, so the model before training can be measured as well.

        Raises:
            UserError: the folder can't be used.
        """
        parts = loading.load(location, diffusion, DTYPES[settings.dtype])
        self._token = diffusion.token
        self._settings = settings
        self._pipeline = parts.pipeline().to(device)
        self._pipeline.set_progress_bar_config(disable=True)

    @torch.inference_mode()
    def paint(self, names: Sequence[str], products: Pixels, masks: Pixels, seeds: Sequence[int]) -> Pixels:
        """Paint a background around each product.

        Args:
            names: of B products; the token, if there is one, is appended.
            products: (B, R, R, 3) uint8; only the product's pixels matter.
            masks: (B, R, R) uint8, 255 where the product is.
            seeds: a number for each picture. Its noise depends on nothing else.

        Returns:
            (B, R, R, 3) uint8.

        Raises:
            FloatingPointError: the model gave values that are no numbers.
        """
        pipe, settings = self._pipeline, self._settings
        prompts = tokenise(pipe.tokenizer, self._token, names)
        nothing = self._states(empty_prompt(pipe.tokenizer)).expand(len(names), -1, -1)
        painted = pipe(
            prompt_embeds=self._states(prompts.ids),
            negative_prompt_embeds=nothing,
            image=to_tensor(products),
            mask_image=paint_mask(masks),
            height=products.shape[1],
            width=products.shape[2],
            num_inference_steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="np",
        ).images  # (B, R, R, 3), 0..1
        if not np.isfinite(painted).all():
            raise FloatingPointError("the model paints values that are not finite; try generate.dtype=fp32")
        pixels = (painted * 255).round().astype(np.uint8)
        return np.stack(
            [
                paste_product(picture, product, softened(mask, settings.soft_edge))
                for picture, product, mask in zip(pixels, products, masks, strict=True)
            ]
        )

    def _states(self, ids: torch.Tensor) -> torch.Tensor:
        """The text encoder's last hidden state, (B, L, d)."""
        return self._pipeline.text_encoder(ids.to(self._pipeline.device)).last_hidden_state


def softened(mask: Pixels, radius: float) -> Pixels:
    """The mask (H, W), its edge blurred over so many pixels; 0: as it is."""
    return np.asarray(Image.fromarray(mask).filter(ImageFilter.GaussianBlur(radius))) if radius else mask
