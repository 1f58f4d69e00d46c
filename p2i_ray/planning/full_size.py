"""Stable Diffusion 1.5's inpainting model as it was published, written down: nothing to download, no trained weights.

For what depends on a model's size and not on what it learned: planning a run, timing a card.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from p2i_ray.diffusion.model.loading import Parts
from p2i_ray.diffusion.model.prompt import add_token, tokenise
from p2i_ray.diffusion.model.validation import UNET_CHANNELS, check_channels, read_config
from p2i_ray.diffusion.step import Batch, draw
from p2i_ray.storage import locations


class Architecture(NamedTuple):
    """The settings of a model folder's parts, as in their config.json."""

    unet: dict[str, Any]
    text_encoder: dict[str, Any]
    vae: dict[str, Any]
    scheduler: dict[str, Any]


PUBLISHED = Architecture(
    unet={
        "sample_size": 64,
        "in_channels": UNET_CHANNELS,
        "out_channels": 4,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
        "block_out_channels": [320, 640, 1280, 1280],
        "layers_per_block": 2,
        "attention_head_dim": 8,  # heads, in fact: diffusers keeps the old name
        "cross_attention_dim": 768,
    },
    text_encoder={  # CLIP ViT-L/14's text tower
        "vocab_size": 49408,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "projection_dim": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
        "bos_token_id": 49406,
        "eos_token_id": 49407,
        "pad_token_id": 49407,
    },
    vae={
        "sample_size": 512,
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
        "latent_channels": 4,
        "scaling_factor": 0.18215,
    },
    scheduler={"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1},
)


def read(location: str, widen: bool = False) -> Architecture:
    """The architecture of a model folder, from its config files; weights aren't looked at.

    Args:
        location: of the folder.
        widen: give a UNet with 4 input channels those of an inpainting model, as training does.

    Raises:
        UserError: a config file is not there or can't be read, or the UNet has other input channels.
    """
    unet, *others = (
        read_config(locations.join(location, part, f"{'scheduler_' if part == 'scheduler' else ''}config.json"))
        for part in Architecture._fields
    )
    check_channels(location, unet, widen)
    return Architecture(unet | {"in_channels": UNET_CHANNELS}, *others)


def build_scheduler(architecture: Architecture) -> EulerAncestralDiscreteScheduler:
    """The scheduler alone; it computes while it is made."""
    scheduler: EulerAncestralDiscreteScheduler = EulerAncestralDiscreteScheduler.from_config(architecture.scheduler)
    return scheduler


def build(architecture: Architecture, token: str | None, scheduler: EulerAncestralDiscreteScheduler) -> Parts:
    """A model with random weights whose tokenizer knows the token, if there is one.

    Tensors are made wherever torch makes them now: `with torch.device("meta")` they take no memory. The scheduler
    has to be made before that.
    """
    text = CLIPTextConfig(**architecture.text_encoder)
    text_encoder = CLIPTextModel(text)
    tokenizer = stand_in_tokenizer(text.vocab_size, text.max_position_embeddings)
    token_id = add_token(tokenizer, text_encoder, token, "background")
    unet = UNet2DConditionModel.from_config(architecture.unet)
    vae = AutoencoderKL.from_config(architecture.vae)
    return Parts(
        tokenizer=tokenizer, text_encoder=text_encoder, unet=unet, vae=vae, scheduler=scheduler, token_id=token_id
    )


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
    prompts = tokenise(parts.tokenizer, token, [f"product {number}" for number in range(rows)])
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
