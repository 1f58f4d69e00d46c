"""Painting a batch of orders that differ in product, name, seed, guidance and what they should not look like.

A picture is the same, to the bit, whichever batch it rode in. In float32 on a CPU the model is changed so that its
rounding doesn't depend on the batch's size (rounding.py). Elsewhere any kernel may, so there must be but one size:
batches are filled up to `full` pictures, which makes a lone picture as slow as a full batch.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

import numpy as np
import torch
from diffusers import StableDiffusionInpaintPipeline

from p2i_ray.config import DiffusionConfig
from p2i_ray.data.images import Pixels, paste_product
from p2i_ray.diffusion.model import loading
from p2i_ray.diffusion.model.preprocess import paint_mask, to_tensor
from p2i_ray.diffusion.model.prompt import empty_prompt, tokenise
from p2i_ray.diffusion.sampling.determinism import same_for_any_batch
from p2i_ray.diffusion.sampling.pipeline import DTYPES, softened
from p2i_ray.diffusion.sampling.request import PaintRequest

NAMES = 1024  # whose text states are kept: 0.2 MB each with Stable Diffusion's text encoder
ROUNDS_ALIKE = ("fp32", "cpu")  # in batches of any size

Observe = Callable[[str, float], None]  # told a stage's name and its seconds


def compatible(order: PaintRequest) -> Hashable:
    """Orders with the same key can be painted together: size, steps, and whether there is guidance at all."""
    return order.mask.shape, order.steps, order.guidance > 1


class Denoiser:
    """A model on one device. For one thread at a time: the sampler keeps its place in itself."""

    def __init__(
        self,
        location: str,
        diffusion: DiffusionConfig,
        dtype: str = "fp32",
        device: str = "cpu",
        full: int | None = None,
        names: int = NAMES,
    ) -> None:
        """Load a model folder. It may change or go afterwards: nothing is read from it again.

        Args:
            location: diffusers folder; a model that doesn't know the token is taught it, as `pipeline.Painter` does.
            painter: the token, and whether a plain model is to be widened.
            dtype: arithmetic; fp32, bf16 or fp16.
            device: as PyTorch names it.
            full: pictures that every batch is filled up to (none: to none; see above).
            names: texts whose states are kept.

        Raises:
            UserError: the folder can't be used.
        """
        self._token, self._full = diffusion.token, full
        pipe = _ByRow(**loading.load(location, diffusion, DTYPES[dtype]).pipeline().components, **_UNCHECKED).to(device)
        pipe.set_progress_bar_config(disable=True)
        pipe.vae.enable_slicing()  # memory of one picture
        for module in (pipe.unet, pipe.vae, pipe.text_encoder):
            for weight in module.parameters():  # on a CPU they are the file itself, mapped: a copy outlives it
                weight.data = weight.data.clone(memory_format=torch.preserve_format)
        if (dtype, torch.device(device).type) == ROUNDS_ALIKE:
            same_for_any_batch(pipe.unet, pipe.vae)
        self._pipeline = pipe
        self._texts: OrderedDict[tuple[str, bool], torch.Tensor] = OrderedDict()
        self._kept = names
        self._nothing = self._states(empty_prompt(pipe.tokenizer))  # (1, L, d)

    @torch.inference_mode()
    def paint(self, orders: Sequence[PaintRequest], observe: Observe | None = None) -> list[Pixels]:
        """Paint compatible orders; each picture is (H, W, 3) uint8, the product's own pixels put back.

        Args:
            orders: B of them, with equal `compatible` keys.
            observe: told the seconds of the stages text, denoise (with the VAE) and paste.

        Raises:
            FloatingPointError: the model gave values that are no numbers.
        """
        tell, begin = observe or _ignore, time.perf_counter()
        guided = orders[0].guidance > 1
        rows = [*orders, *[orders[-1]] * ((self._full or 0) - len(orders))]  # copies that nobody gets
        prompts = torch.cat([self._text(order.name, True) for order in rows])  # (B, L, d)
        against = torch.cat([self._text(order.negative, False) for order in rows]) if guided else None
        tell("text", (text := time.perf_counter()) - begin)
        height, width = rows[0].mask.shape
        painted = self._pipeline(
            prompt_embeds=prompts,
            negative_prompt_embeds=against,
            image=to_tensor(np.stack([order.product for order in rows])),
            mask_image=paint_mask(np.stack([order.mask for order in rows])),
            height=height,
            width=width,
            num_inference_steps=rows[0].steps,
            guidance_scale=self._scales(rows) if guided else None,
            generator=[torch.Generator().manual_seed(order.seed) for order in rows],
            output_type="np",
        ).images[: len(orders)]  # (B, H, W, 3), 0..1
        tell("denoise", (denoised := time.perf_counter()) - text)
        if not np.isfinite(painted).all():
            raise FloatingPointError("the model paints values that are not finite; try generate.dtype=fp32")
        pictures = [
            paste_product(picture, order.product, softened(order.mask, order.soft_edge))
            for picture, order in zip((painted * 255).round().astype(np.uint8), orders, strict=True)
        ]
        tell("paste", time.perf_counter() - denoised)
        return pictures

    def try_out(self, resolution: int) -> None:
        """Paint a grey square in two steps, which also readies the device; raises whatever goes wrong."""
        mask = np.zeros((resolution, resolution), np.uint8)
        mask[resolution // 4 : -resolution // 4, resolution // 4 : -resolution // 4] = 255
        product = np.full((*mask.shape, 3), 127, np.uint8)
        self.paint([PaintRequest("product", product, mask, seed=0, steps=2, guidance=2)])

    def _scales(self, orders: Sequence[PaintRequest]) -> torch.Tensor:
        scales = torch.tensor([order.guidance for order in orders], dtype=self._pipeline.unet.dtype)
        return scales.to(self._pipeline.device)[:, None, None, None]  # (B, 1, 1, 1)

    def _text(self, text: str, is_name: bool) -> torch.Tensor:
        """The states (1, L, d) of a name, with the token, or of what a picture should not look like, without it.

        Each text goes through the encoder alone, so its states don't depend on others; the latest ones are kept.
        """
        if not text and not is_name:
            return self._nothing
        key = (text, is_name)
        found = self._texts.get(key)
        if found is None:
            token = self._token if is_name else None
            found = self._states(tokenise(self._pipeline.tokenizer, token, [text]).ids)
            self._texts[key] = found
        self._texts.move_to_end(key)
        while len(self._texts) > self._kept:
            self._texts.popitem(last=False)
        return found

    def _states(self, ids: torch.Tensor) -> torch.Tensor:
        """The text encoder's last hidden states, (B, L, d)."""
        with torch.inference_mode():
            states: torch.Tensor = self._pipeline.text_encoder(ids.to(self._pipeline.device)).last_hidden_state
        return states


class _ByRow(StableDiffusionInpaintPipeline):
    """diffusers' pipeline with a guidance scale a picture, told as (B, 1, 1, 1); none: no guidance."""

    @property
    def do_classifier_free_guidance(self) -> bool:
        return self._guidance_scale is not None


_UNCHECKED = {"requires_safety_checker": False}


def _ignore(_: str, __: float) -> None:
    pass
