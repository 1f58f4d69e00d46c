"""Builders of tiny random models of the real architectures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from transformers import CLIPTokenizer

WIDTH = 16  # of the text encoder
CLIP_WIDTH = 8  # of CLIP's common space
LENGTH = 16  # tokens a prompt
RESOLUTION = 16  # pixels; latents are 8x8
NORM = {"norm_num_groups": 4, "layers_per_block": 1}  # of the networks of convolutions


def build_painter(base: Path, clip_folder: Path, channels: int = 9, *, second: bool = False) -> None:
    """Write both folders; a model with 4 channels instead of 9 doesn't inpaint.

    `second` has what Stable Diffusion 2 has otherwise: its text encoder is the CLIP's without the last layer, prompts
    are padded with "!", and the UNet's attention has linear projections and heads of one width.
    """
    import torch
    from diffusers import (
        EulerAncestralDiscreteScheduler,
        StableDiffusionInpaintPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    tokenizer = build_tokenizer(pad="!" if second else None)
    tower = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    tower |= {"hidden_act": "gelu" if second else "quick_gelu"}
    text_config = {
        **tower,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    clip = CLIPModel(
        CLIPConfig(
            text_config=text_config,
            vision_config={**tower, "image_size": RESOLUTION, "patch_size": 8},
            projection_dim=CLIP_WIDTH,
        )
    )
    size = {"height": RESOLUTION, "width": RESOLUTION}
    clip.save_pretrained(clip_folder)
    CLIPImageProcessorPil(size={"shortest_edge": RESOLUTION}, crop_size=size).save_pretrained(clip_folder)
    text_encoder = CLIPTextModel(CLIPTextConfig(**{**text_config, "num_hidden_layers": 1 if second else 2}))
    lost = text_encoder.load_state_dict(clip.text_model.state_dict(), strict=False).missing_keys
    assert not lost
    vae = build_vae(scaling_factor=0.9)
    unet = UNet2DConditionModel(
        sample_size=RESOLUTION // 2,
        in_channels=channels,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=(2, 4) if second else 4,
        use_linear_projection=second,
        **NORM,
    )
    scheduler = EulerAncestralDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
    StableDiffusionInpaintPipeline(
        vae, text_encoder, tokenizer, unet, scheduler, None, None, requires_safety_checker=False
    ).save_pretrained(base)


def build_vae(scaling_factor: float, *, attention: bool = False) -> AutoencoderKL:
    """A random autoencoder, two pixels along a side of a latent; with attention in the middle, as published ones."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        mid_block_add_attention=attention,
        sample_size=RESOLUTION,
        scaling_factor=scaling_factor,
        **NORM,
    )


def build_tokenizer(pad: str | None = None) -> CLIPTokenizer:
    """CLIP's tokenizer with bytes and a few merges; the two special tokens come last, as in CLIP's own.

    It pads with the last one, or with a token that is a letter, too.
    """
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    merges = [("b", "a"), ("ba", "c"), ("bac", "k"), ("back", "g"), ("r", "o"), ("ro", "u"), ("rou", "n")]
    merges += [("roun", "d</w>"), ("backg", "round</w>"), ("c", "u"), ("cu", "p</w>")]
    entries = [*letters, *(f"{c}</w>" for c in letters), *("".join(pair) for pair in merges)]
    entries += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {entry: number for number, entry in enumerate(entries)}
    assert len(vocabulary) == len(entries)
    padding = {"pad_token": pad} if pad else {}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LENGTH, **padding)
