"""Architectures of diffusion models: those of a model folder, and the published ones, written down.

For what depends on a model's size and not on what it learned: nothing is downloaded, and no weights are read.
"""

from __future__ import annotations

import posixpath
from typing import Any, NamedTuple

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.backbones import families
from p2i_ray.diffusion.backbones.families import Family
from p2i_ray.diffusion.model import training_checks
from p2i_ray.diffusion.model.validation import INPUT_CHANNELS, check_channels, family_of, read_config
from p2i_ray.storage import locations


class Architecture(NamedTuple):
    """The settings that a model is built from.

    Attributes:
        name: as people call the model.
        family: of the model.
        parts: the settings of its networks and its scheduler by folder, as in their config.json.
        aligned: which of its text encoders is the CLIP's.
    """

    name: str
    family: Family
    parts: dict[str, dict[str, Any]]
    aligned: int = 0

    @property
    def denoiser(self) -> dict[str, Any]:
        """The settings of the network that predicts."""
        return self.parts[self.family.denoiser]

    @property
    def texts(self) -> list[dict[str, Any]]:
        """The settings of the text encoders."""
        return [self.parts[encoder] for encoder in self.family.encoders]

    @property
    def pixels_per_latent(self) -> int:
        """Pixels that one latent covers, along one side."""
        return int(2 ** (len(self.parts["vae"]["block_out_channels"]) - 1))


_CLIP = {
    "vocab_size": 49408,
    "max_position_embeddings": 77,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "pad_token_id": 49407,
}
_CLIP_L = {  # CLIP ViT-L/14's text tower
    **_CLIP,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "projection_dim": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "quick_gelu",
}
_CLIP_G = {  # OpenCLIP ViT-bigG/14's text tower
    **_CLIP,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "projection_dim": 1280,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "hidden_act": "gelu",
}
_VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
_SCHEDULER = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
_UNET = {"in_channels": INPUT_CHANNELS, "out_channels": 4, "layers_per_block": 2}

PUBLISHED = Architecture(
    name="Stable Diffusion 1.5's inpainting model",
    family=families.STABLE_DIFFUSION,
    parts={
        "unet": {
            **_UNET,
            "sample_size": 64,
            "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
            "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
            "block_out_channels": [320, 640, 1280, 1280],
            "attention_head_dim": 8,  # heads, in fact: diffusers keeps the old name
            "cross_attention_dim": 768,
        },
        "text_encoder": _CLIP_L,
        "vae": {**_VAE, "sample_size": 512, "scaling_factor": 0.18215},
        "scheduler": _SCHEDULER,
    },
)
PUBLISHED_XL = Architecture(
    name="Stable Diffusion XL's inpainting model",
    family=families.STABLE_DIFFUSION_XL,
    parts={
        "unet": {
            **_UNET,
            "sample_size": 128,
            "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2,
            "up_block_types": ["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"],
            "block_out_channels": [320, 640, 1280],
            "transformer_layers_per_block": [1, 2, 10],
            "attention_head_dim": [5, 10, 20],
            "cross_attention_dim": 2048,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        "text_encoder": _CLIP_L,
        "text_encoder_2": _CLIP_G,
        "vae": {**_VAE, "sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True},
        "scheduler": {**_SCHEDULER, "timestep_spacing": "leading"},
    },
)


def of(location: str, diffusion: DiffusionConfig) -> tuple[Architecture, bool]:
    """The architecture of a model folder, or the published one that stands in for it; and whether the folder is there.

    A folder that is not there, and has xl in its name, is taken for Stable Diffusion XL.

    Args:
        location: of the folder.
        diffusion: whether a plain model is to be widened, and the CLIP.

    Raises:
        UserError: a config file can't be read, the UNet has other input channels, or the CLIP is of another model.
    """
    if not locations.exists(location):
        is_xl = "xl" in posixpath.basename(location.rstrip("/")).lower()
        return (PUBLISHED_XL if is_xl else PUBLISHED), False
    known = locations.exists(diffusion.clip)
    aligned = training_checks.aligned_encoder(diffusion.clip, location) if known else 0
    return read(location, diffusion.widen, aligned), True


def read(location: str, widen: bool = False, aligned: int = 0) -> Architecture:
    """The architecture of a model folder, from its config files; weights aren't looked at.

    Args:
        location: of the folder.
        widen: give a UNet with 4 input channels those of an inpainting model, as training does.
        aligned: which of its text encoders is the CLIP's.

    Raises:
        UserError: a config file is not there or can't be read, or the UNet has other input channels.
    """
    family = family_of(location)
    networks = (family.denoiser, *family.encoders, "vae")
    parts = {part: read_config(locations.join(location, part, "config.json")) for part in networks}
    check_channels(location, parts[family.denoiser], widen)
    parts[family.denoiser] |= {"in_channels": INPUT_CHANNELS}
    parts["scheduler"] = read_config(locations.join(location, "scheduler", "scheduler_config.json"))
    return Architecture(location, family, parts, aligned)
