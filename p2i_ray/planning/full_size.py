"""Build models of full size with random weights, and batches for them: to plan a run, to time a card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from p2i_ray.diffusion.backbones import registry
from p2i_ray.diffusion.backbones.families import TextPart
from p2i_ray.diffusion.model.loading import Parts, TextEncoder, TextProjection, load_part
from p2i_ray.diffusion.model.prompt import add_token, tokenise_each
from p2i_ray.diffusion.step import Batch, draw
from p2i_ray.planning.architectures import Architecture
from p2i_ray.storage import folders, locations


def build_scheduler(architecture: Architecture) -> EulerAncestralDiscreteScheduler:
    """The scheduler alone; it computes while it is made."""
    scheduler: EulerAncestralDiscreteScheduler = EulerAncestralDiscreteScheduler.from_config(
        architecture.parts["scheduler"]
    )
    return scheduler


def build(architecture: Architecture, token: str | None, scheduler: EulerAncestralDiscreteScheduler) -> Parts:
    """A model with random weights whose tokenizer knows the token, if there is one.

    Tensors are made wherever torch makes them now: `with torch.device("meta")` they take no memory. The scheduler
    has to be made before that.
    """
    family = architecture.family
    texts = [_build_text(text, architecture.parts[text.encoder]) for text in family.texts]
    token_ids = [add_token(tokenizer, encoder, token, "background") for tokenizer, encoder in texts]
    return Parts(
        backbone=registry.of(family, {}),
        tokenizers=tuple(tokenizer for tokenizer, _ in texts),
        text_encoders=tuple(encoder for _, encoder in texts),
        denoiser=UNet2DConditionModel.from_config(architecture.denoiser),
        vae=AutoencoderKL.from_config(architecture.parts["vae"]),
        scheduler=scheduler,
        token_ids=tuple(number for number in token_ids if number is not None),
    )


def _build_text(part: TextPart, settings: dict[str, Any]) -> tuple[CLIPTokenizer, TextEncoder]:
    config = CLIPTextConfig(**settings)
    encoder: TextEncoder = CLIPTextModelWithProjection(config) if part.pooled else CLIPTextModel(config)
    return stand_in_tokenizer(int(config.vocab_size), int(config.max_position_embeddings)), encoder


def tokenizers(location: str, architecture: Architecture) -> tuple[CLIPTokenizer, ...]:
    """A model folder's own tokenizers, of whose files alone they are made; each has its text encoder's length.

    Raises:
        UserError: one can't be read.
    """
    found = []
    for text, settings in zip(architecture.family.texts, architecture.texts, strict=True):
        with folders.local_folder(locations.join(location, text.tokenizer)) as folder:
            tokenizer = load_part(CLIPTokenizer.from_pretrained, str(Path(folder).parent), Path(folder).name)
        tokenizer.model_max_length = min(tokenizer.model_max_length, int(settings["max_position_embeddings"]))
        found.append(tokenizer)
    return tuple(found)


def build_projection(architecture: Architecture) -> TextProjection:
    """CLIP's text projection with random weights."""
    text = architecture.texts[architecture.aligned]
    width = int(text["hidden_size"])
    return TextProjection(torch.randn(int(text.get("projection_dim") or 0), width) / width**0.5, architecture.aligned)


def stand_in_tokenizer(entries: int, length: int) -> CLIPTokenizer:
    """CLIP's tokenizer with its number of entries but without its merges: it reads bytes.

    Args:
        entries: size of the vocabulary, the two special tokens included; 514 at least.
        length: tokens a prompt.
    """
    letters = sorted(ByteLevel.alphabet())
    names = [*letters, *(f"{letter}</w>" for letter in letters)]
    names += [f"unused-{number}" for number in range(entries - len(names) - 2)]
    names += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {name: number for number, name in enumerate(names)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=length)


def random_batch(parts: Parts, token: str | None, *, rows: int, resolution: int, clip_width: int) -> Batch:
    """Make a batch of the train step with noise for features.

    Args:
        parts: the model.
        token: its learned token.
        rows: B.
        resolution: side of the pictures, pixels.
        clip_width: of r_B and r_I.
    """
    side = resolution // parts.pixels_per_latent
    prompts = tokenise_each(parts.tokenizers, token, [f"product {number}" for number in range(rows)])
    draws = draw(
        0,
        0,
        range(rows),
        latent=(4, side, side),
        timesteps=int(parts.scheduler.config["num_train_timesteps"]),
        prompt_dropout=0.1,
    )
    return Batch(
        image_moments=torch.randn(rows, 8, side, side),
        product_moments=torch.randn(rows, 8, side, side),
        mask=torch.randint(2, (rows, 1, side, side)).float(),
        background_clip=torch.randn(rows, clip_width),
        image_clip=torch.randn(rows, clip_width),
        input_ids=prompts.ids,
        background_at=prompts.background_at,
        eos_at=prompts.eos_at,
        **draws._asdict(),
    )


def allocate(model: nn.Module) -> None:
    """Make all tensors of a model that was built `with torch.device("meta")` anew, wherever torch makes them now."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            module.register_parameter(name, nn.Parameter(_same_size(parameter), parameter.requires_grad))
        for name, buffer in list(module.named_buffers(recurse=False)):
            module.register_buffer(name, _same_size(buffer), name not in module._non_persistent_buffers_set)


def _same_size(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)


def cast_parameters(model: nn.Module, dtype: torch.dtype) -> None:
    """Give the parameters another precision and leave buffers as they are, as DeepSpeed does."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            module.register_parameter(name, nn.Parameter(parameter.detach().to(dtype), parameter.requires_grad))
