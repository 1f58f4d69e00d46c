"""The model folder: a diffusers Stable Diffusion inpainting pipeline whose tokenizer knows <background>.

Weights are safetensors only. A trained folder (export.py) needs nothing of this package:
`diffusers.StableDiffusionInpaintPipeline.from_pretrained(folder)` loads it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_inpaint import StableDiffusionInpaintPipeline
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from safetensors import SafetensorError
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from p2i_ray.diffusion.model import validation
from p2i_ray.diffusion.model.prompt import add_token
from p2i_ray.encoders import weight_files
from p2i_ray.encoders.clip import clip_folder
from p2i_ray.errors import UserError
from p2i_ray.storage import locations

if TYPE_CHECKING:
    from p2i_ray.config import DiffusionConfig

Loaded = TypeVar("Loaded")


@dataclass
class Parts:
    """A model folder's parts, on the CPU; the tokenizer and text encoder know the token."""

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    scheduler: EulerAncestralDiscreteScheduler
    token_id: int | None  # none: the model is to have no token
    widened: bool = False  # whether the UNet's input has been widened just now, and so hasn't learned

    @property
    def pixels_per_latent(self) -> int:
        """Pixels that one latent covers, along one side."""
        factor: int = 2 ** (len(cast(Any, self.vae.config).block_out_channels) - 1)
        return factor

    def pipeline(self) -> StableDiffusionInpaintPipeline:
        """A pipeline of these parts, diffusers' own."""
        make: Any = StableDiffusionInpaintPipeline  # diffusers' types leave out that parts may be missing
        pipeline: StableDiffusionInpaintPipeline = make(
            vae=self.vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            unet=self.unet,
            scheduler=self.scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        return pipeline


def load(location: str, diffusion: DiffusionConfig, dtype: torch.dtype = torch.float32) -> Parts:
    """Load a model folder; teach it the token if it doesn't know it, and widen it if it is to be and isn't.

    Raises:
        UserError: it is not there, not complete, not in safetensors, or not an inpainting model.
    """
    validation.check_model(location, widen=diffusion.widen)
    with locations.local_folder(location) as folder:
        tokenizer = load_part(CLIPTokenizer.from_pretrained, folder, "tokenizer")
        text_encoder = load_model(CLIPTextModel.from_pretrained, folder, "text_encoder", dtype=dtype)
        unet = load_model(UNet2DConditionModel.from_pretrained, folder, "unet", torch_dtype=dtype)
        vae = load_model(AutoencoderKL.from_pretrained, folder, "vae", torch_dtype=dtype)
        scheduler = load_part(EulerAncestralDiscreteScheduler.from_pretrained, folder, "scheduler")
    tokenizer.model_max_length = min(tokenizer.model_max_length, text_encoder.config.max_position_embeddings)
    token_id = add_token(tokenizer, text_encoder, diffusion.token, diffusion.token_from)
    widened = unet.config.in_channels != validation.UNET_CHANNELS
    if widened:
        widen(unet)
    return Parts(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        unet=unet,
        vae=vae,
        scheduler=scheduler,
        token_id=token_id,
        widened=widened,
    )


def widen(unet: UNet2DConditionModel) -> None:
    """Give a UNet inputs for mask and product latent, with weights that are zero: it predicts what it did before."""
    old: Any = unet.conv_in
    new = nn.Conv2d(
        validation.UNET_CHANNELS, old.out_channels, old.kernel_size, padding=old.padding, dtype=old.weight.dtype
    )
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, : old.in_channels] = old.weight  # the noisy latent comes first
        cast(nn.Parameter, new.bias).copy_(old.bias)
    unet.conv_in = new
    unet.register_to_config(  # type: ignore[no-untyped-call]
        in_channels=validation.UNET_CHANNELS
    )


def load_projection(diffusion: DiffusionConfig) -> torch.Tensor:
    """CLIP's text projection, (d_clip, d_text), float32: it takes the text encoder's states to where r_B and r_I are.

    Raises:
        UserError: the CLIP's text tower has another width than the model's.
    """
    validation.check_clip(diffusion.clip, diffusion.base)
    with clip_folder(diffusion.clip, setting="diffusion.clip") as opened:
        return opened.model().text_projection.weight.detach()


def load_model(loader: Callable[..., Any], folder: str, part: str, **options: Any) -> Any:
    """A part with weights, in the variant that the folder has.

    Raises:
        UserError: it can't be loaded, or the weights lack what the part needs: it would be left at random.
    """
    variant = weight_files.find(str(Path(folder, part)), validation.WITH_WEIGHTS[part]).variant
    loaded, told = load_part(
        loader, folder, part, variant=variant, use_safetensors=True, output_loading_info=True, **options
    )
    if absent := sorted(told["missing_keys"]):
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise UserError(f"{Path(folder, part)}: the weights have no {absent[0]}{more}; fetch the model again")
    return loaded


def load_part(loader: Callable[..., Loaded], folder: str, part: str, **options: Any) -> Loaded:
    """A part of a local model folder, by its class's from_pretrained.

    Raises:
        UserError: it can't be loaded.
    """
    path = Path(folder, part)
    try:
        return loader(path, local_files_only=True, **options)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{path} can't be loaded: {first_line}") from error
