"""The model folder: a diffusers inpainting pipeline whose tokenizers know <background>.

Weights are safetensors only. A trained folder (export.py) needs nothing of this package: diffusers' own pipeline,
e.g. `StableDiffusionInpaintPipeline.from_pretrained(folder)`, loads it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from safetensors import SafetensorError
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from p2i_ray.diffusion.backbones import registry
from p2i_ray.diffusion.backbones.backbone import Backbone
from p2i_ray.diffusion.backbones.families import TextPart
from p2i_ray.diffusion.model import training_checks, validation
from p2i_ray.diffusion.model.prompt import add_token
from p2i_ray.encoders import weight_files
from p2i_ray.encoders.clip import clip_folder
from p2i_ray.errors import UserError
from p2i_ray.storage import folders

if TYPE_CHECKING:
    from p2i_ray.config import DiffusionConfig

Loaded = TypeVar("Loaded")
TextEncoder = CLIPTextModel | CLIPTextModelWithProjection


@dataclass
class Parts:
    """A model folder's parts, on the CPU; the tokenizers and text encoders know the token."""

    backbone: Backbone
    tokenizers: tuple[CLIPTokenizer, ...]  # one for each text encoder
    text_encoders: tuple[TextEncoder, ...]  # as backbone.family.texts has them
    denoiser: UNet2DConditionModel
    vae: AutoencoderKL
    scheduler: EulerAncestralDiscreteScheduler
    token_ids: tuple[int, ...]  # of the token in each tokenizer; none: the model is to have no token
    widened: bool = False  # whether the denoiser's input has been widened just now, and so hasn't learned

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The parts that can be trained, by the names of their folders: the denoiser, then the text encoders."""
        family = self.backbone.family
        return {family.denoiser: self.denoiser, **dict(zip(family.encoders, self.text_encoders, strict=True))}

    @property
    def pixels_per_latent(self) -> int:
        """Pixels that one latent covers, along one side."""
        factor: int = 2 ** (len(cast(Any, self.vae.config).block_out_channels) - 1)
        return factor

    def pipeline(self) -> Any:
        """A pipeline of these parts, diffusers' own."""
        tokenizers = {
            text.tokenizer: own for text, own in zip(self.backbone.family.texts, self.tokenizers, strict=True)
        }
        return self.backbone.whole({**self.networks, **tokenizers, "vae": self.vae, "scheduler": self.scheduler})


def load(location: str, diffusion: DiffusionConfig, dtype: torch.dtype = torch.float32) -> Parts:
    """Load a model folder; teach it the token if it doesn't know it, and widen it if it is to be and isn't.

    Raises:
        UserError: it is not there, not complete, not in safetensors, or not an inpainting model.
    """
    validation.check_model(location, widen=diffusion.widen)
    family, index = validation.family_of(location), validation.read_index(location)
    with folders.local_folder(location) as folder:
        texts = [load_text(folder, text, diffusion, dtype) for text in family.texts]
        denoiser = load_model(UNet2DConditionModel.from_pretrained, folder, family.denoiser, torch_dtype=dtype)
        vae = load_model(AutoencoderKL.from_pretrained, folder, "vae", torch_dtype=dtype)
        scheduler = load_part(EulerAncestralDiscreteScheduler.from_pretrained, folder, "scheduler")
    widened = denoiser.config.in_channels != validation.INPUT_CHANNELS
    if widened:
        widen(denoiser)
    tokenizers, text_encoders, token_ids = zip(*texts, strict=True)
    return Parts(
        backbone=registry.of(family, index),
        tokenizers=tokenizers,
        text_encoders=text_encoders,
        denoiser=denoiser,
        vae=vae,
        scheduler=scheduler,
        token_ids=tuple(number for number in token_ids if number is not None),
        widened=widened,
    )


def load_text(
    folder: str, text: TextPart, diffusion: DiffusionConfig, dtype: torch.dtype
) -> tuple[CLIPTokenizer, TextEncoder, int | None]:
    """A tokenizer and text encoder that know the token, and its id; as `load`."""
    kind = CLIPTextModelWithProjection if text.pooled else CLIPTextModel
    tokenizer = load_part(CLIPTokenizer.from_pretrained, folder, text.tokenizer)
    encoder: TextEncoder = load_model(kind.from_pretrained, folder, text.encoder, dtype=dtype)
    tokenizer.model_max_length = min(tokenizer.model_max_length, int(encoder.config.max_position_embeddings))
    if isinstance(encoder, CLIPTextModelWithProjection):
        pool_at_eos(encoder, tokenizer)
    return tokenizer, encoder, add_token(tokenizer, encoder, diffusion.token, diffusion.token_from)


def pool_at_eos(encoder: CLIPTextModelWithProjection, tokenizer: CLIPTokenizer) -> None:
    """Have a text encoder's pooled state be the one at eos.

    Published ones say eos_token_id=2, and are then pooled where a row's highest id is. That is eos until a token with
    a higher id is added.
    """
    encoder.config.eos_token_id = encoder.text_model.config.eos_token_id = tokenizer.eos_token_id
    encoder.text_model.eos_token_id = tokenizer.eos_token_id


def widen(denoiser: UNet2DConditionModel) -> None:
    """Give a UNet inputs for mask and product latent, with weights that are zero: it predicts what it did before."""
    old: Any = denoiser.conv_in
    new = nn.Conv2d(
        validation.INPUT_CHANNELS, old.out_channels, old.kernel_size, padding=old.padding, dtype=old.weight.dtype
    )
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, : old.in_channels] = old.weight  # the noisy latent comes first
        cast(nn.Parameter, new.bias).copy_(old.bias)
    denoiser.conv_in = new
    denoiser.register_to_config(  # type: ignore[no-untyped-call]
        in_channels=validation.INPUT_CHANNELS
    )


class TextProjection(NamedTuple):
    """The projection of a text encoder's states to where r_B and r_I are."""

    weight: torch.Tensor  # CLIP's text projection, (d_clip, d_text), float32
    encoder: int = 0  # the place of the text encoder that was taken from this CLIP, among the model's


def load_projection(diffusion: DiffusionConfig) -> TextProjection:
    """CLIP's text projection.

    Raises:
        UserError: the CLIP's text tower has another width than the model's.
    """
    aligned = training_checks.check_clip(diffusion.clip, diffusion.base)
    with clip_folder(diffusion.clip, setting="diffusion.clip") as opened:
        weight = opened.tensor("text_projection.weight")
    return TextProjection(weight, aligned)


def load_model(loader: Callable[..., Any], folder: str, part: str, *, name: str | None = None, **options: Any) -> Any:
    """A part with weights, in the variant that the folder has; `name` is what its files are called, if not as usual.

    Raises:
        UserError: it can't be loaded, or the weights lack what the part needs: it would be left at random.
    """
    variant = weight_files.find(str(Path(folder, part)), name or validation.weights_name(part)).variant
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
