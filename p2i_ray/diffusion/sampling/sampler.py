"""The sampler: paints a background around products, in batches; the loop and the service use it.

An image must not depend on the other images in its batch, though kernels round by the batch's shape:

- The loop's batches are uniform and all filled up to one size, `fill_to`, with copies of the last request.
- The service's batches are mixed: requests differ in guidance and negative prompt, and batches in size. Then texts and
  the VAE take each row alone. In float32 on a CPU the UNet and VAE are changed so that their rounding doesn't depend on
  the batch's size (determinism.py); elsewhere batches are filled up, which makes a lone image as slow as a full batch.
  (A GPU's kernels may still round by the row's place in the batch: a few levels of 255, measured on an H200 in bf16.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from p2i_ray.config import DiffusionConfig
from p2i_ray.data.images import Pixels, paste_product
from p2i_ray.diffusion.backbones.backbone import PromptStates, joined
from p2i_ray.diffusion.model import loading, validation
from p2i_ray.diffusion.model.preprocess import paint_mask, to_tensor
from p2i_ray.diffusion.sampling.denoise import DenoiseInputs, GuidanceScale, build_pipeline, denoise, seeded
from p2i_ray.diffusion.sampling.determinism import any_batch_alike, same_for_any_batch
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.diffusion.sampling.text_states import TextStates

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Observe = Callable[[str, float], None]  # called with a stage's name and its seconds


@dataclass(frozen=True)
class SamplerOptions:
    """The way in which a sampler computes.

    Attributes:
        dtype: arithmetic; fp32, bf16 or fp16.
        device: PyTorch's name of it.
        fill_to: size that every batch is filled up to; none: batches keep theirs.
        mixed: whether requests in a batch may differ in guidance and negative prompt; see above.
        copy_weights: whether weights are copied out of the mapped files, which may then be overwritten.
        cached_texts: texts whose states are kept.
    """

    dtype: str = "fp32"
    device: str = "cpu"
    fill_to: int | None = None
    mixed: bool = False
    copy_weights: bool = False
    cached_texts: int = 1024


class Sampler:
    """A model on one device. For one thread at a time: diffusers' scheduler keeps its place in itself."""

    def __init__(self, location: str, diffusion: DiffusionConfig, options: SamplerOptions) -> None:
        """Load a model folder; it is not read again.

        A base model that doesn't know the token yet is taught it first (it then stands for `token_from`), and widened
        where the settings say so, so that the model before training can be measured as well.

        Args:
            location: of the diffusers folder.
            diffusion: the token, and whether a plain model is to be widened.
            options: of the computation.

        Raises:
            UserError: the folder can't be used.
        """
        self._options, self._diffusion = options, diffusion
        validation.check_prompt(location, diffusion)
        parts = loading.load(location, diffusion, DTYPES[options.dtype])
        self._backbone = parts.backbone
        self._pipeline = self._build(parts).to(options.device)
        for encoder in parts.text_encoders:
            encoder.to(torch.device(options.device))  # type: ignore[arg-type]  # transformers wraps it
        self._text = self._texts(parts)
        if options.copy_weights:
            for module in (*parts.networks.values(), parts.vae):
                for weight in module.parameters():
                    weight.data = weight.data.clone(memory_format=torch.preserve_format)
        if options.mixed:
            parts.vae.enable_slicing()  # type: ignore[no-untyped-call]  # one image at a time
            if any_batch_alike(options.dtype, options.device):
                same_for_any_batch(parts.vae, *self._denoisers(parts))

    def _build(self, parts: loading.Parts) -> Any:
        """The pipeline; baselines have others."""
        return build_pipeline(parts.backbone, parts.vae, parts.denoiser, parts.scheduler)

    def _denoisers(self, parts: loading.Parts) -> list[nn.Module]:
        """The networks that a batch passes at every step; generators are some beside the model's own."""
        return [parts.denoiser]

    def _texts(self, parts: loading.Parts) -> TextStates:
        """The encoder of prompts."""
        token, template = self._diffusion.token, self._diffusion.prompt
        return TextStates(parts, token=token, template=template, cached_texts=self._options.cached_texts)

    def _more(self, requests: Sequence[PaintRequest]) -> dict[str, Any]:
        """Further arguments of the pipeline's call; baselines have some."""
        return {}

    @property
    def denoiser(self) -> Any:
        """The network in use."""
        return getattr(self._pipeline, self._backbone.family.denoiser)

    @torch.inference_mode()
    def paint(
        self,
        requests: Sequence[PaintRequest],
        observe: Observe | None = None,
        wanted: Callable[[], bool] | None = None,
    ) -> list[Pixels]:
        """Paint a background around each product, whose own pixels are put back.

        Args:
            requests: B of them, with equal batch keys; unless batches are mixed, with equal guidance and negative.
            observe: called with the seconds of the stages text, denoise (with the VAE) and paste.
            wanted: asked after each denoising step whether somebody still waits for the images (none: always).

        Returns:
            B images, (H, W, 3) uint8.

        Raises:
            FloatingPointError: the model gave values that are not finite.
            AbandonedError: nobody waits for the images any more.
        """
        tell, begin = observe or _ignore, time.perf_counter()
        filled = [*requests, *[requests[-1]] * ((self._options.fill_to or 0) - len(requests))]
        prompts, negatives = self._encode(filled)
        tell("text", (encoded := time.perf_counter()) - begin)
        inputs = DenoiseInputs(
            prompts=prompts,
            negatives=negatives,
            image=to_tensor(np.stack([request.product for request in filled])),
            mask=paint_mask(np.stack([request.mask for request in filled])),
            steps=filled[0].steps,
            guidance=self._guidance(filled),
            generators=seeded(request.seed for request in filled),
            more=self._more(filled),
        )
        painted = denoise(self._backbone, self._pipeline, inputs, output="np", wanted=wanted)
        painted = painted[: len(requests)]  # (B, H, W, 3), 0 to 1
        tell("denoise", (denoised := time.perf_counter()) - encoded)
        if not np.isfinite(painted).all():
            raise FloatingPointError("the model paints values that are not finite; try generate.dtype=fp32")
        images = [
            put_back(image, request)
            for image, request in zip((painted * 255).round().astype(np.uint8), requests, strict=True)
        ]
        tell("paste", time.perf_counter() - denoised)
        return images

    def try_out(self, resolution: int) -> None:
        """Paint a grey square in two steps, which also readies the device; raises whatever goes wrong."""
        mask = np.zeros((resolution, resolution), np.uint8)
        mask[resolution // 4 : -resolution // 4, resolution // 4 : -resolution // 4] = 255
        product = np.full((*mask.shape, 3), 127, np.uint8)
        self.paint([PaintRequest("product", product, mask, seed=0, steps=2, guidance=2)])

    def _encode(self, requests: Sequence[PaintRequest]) -> tuple[PromptStates, PromptStates | None]:
        """Text states of the prompts, and of the negative prompts where there is guidance."""
        guided = requests[0].guidance > 1
        if self._options.mixed:
            prompts = joined([self._text.of_name(request.name) for request in requests])
            if not guided:
                return prompts, None
            return prompts, joined([self._text.of_negative(request.negative) for request in requests])
        prompts = self._text.of_names([request.name for request in requests])
        if not guided:
            return prompts, None
        return prompts, self._text.of_negative(requests[0].negative).expand(len(requests))

    def _guidance(self, requests: Sequence[PaintRequest]) -> GuidanceScale:
        if not self._options.mixed:
            return requests[0].guidance
        if requests[0].guidance <= 1:
            return None
        scales = torch.tensor([request.guidance for request in requests], dtype=self.denoiser.dtype)
        return scales.to(self.denoiser.device)[:, None, None, None]  # (B, 1, 1, 1)


def put_back(image: Pixels, request: PaintRequest) -> Pixels:
    """A generated image (H, W, 3) with the product's own pixels, if the request wants them."""
    if not request.paste_product:
        return image
    return paste_product(image, request.product, request.pasted_mask())


def _ignore(stage: str, seconds: float) -> None:
    """Observe nothing."""
