"""A tiny random model of Stable Diffusion XL's architecture, and the CLIPs that its text encoders were taken from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.support.tiny_models import CLIP_WIDTH, LENGTH, NORM, RESOLUTION, WIDTH, build_tokenizer, build_vae

if TYPE_CHECKING:
    from p2i_ray.config import DiffusionConfig

SECOND_WIDTH = 24  # of the second text encoder
SIZES = 4  # numbers that each of the six sizes is embedded in


class XlModels(NamedTuple):
    """Folders that `build_xl` wrote."""

    base: Path
    clips: tuple[Path, Path]  # of the first text encoder, of the second

    def painter(self, aligned: int = 0) -> DiffusionConfig:
        """The settings with one of the two CLIPs."""
        from p2i_ray.config import DiffusionConfig

        return DiffusionConfig(base=str(self.base), clip=str(self.clips[aligned]))


def build_xl(base: Path, clips: tuple[Path, Path], *, zeros_for_empty: bool = True, channels: int = 9) -> None:
    """Write the model folder and the two CLIP folders; see tiny_models.build_painter."""
    import torch
    from diffusers import (
        EulerAncestralDiscreteScheduler,
        StableDiffusionXLInpaintPipeline,
        UNet2DConditionModel,
    )
    from transformers import (
        CLIPConfig,
        CLIPImageProcessorPil,
        CLIPModel,
        CLIPTextConfig,
        CLIPTextModel,
        CLIPTextModelWithProjection,
    )

    torch.manual_seed(0)
    tokenizers = build_tokenizer(), build_tokenizer(pad="!")
    encoders = []
    for folder, tokenizer, kind, width, act in (
        (clips[0], tokenizers[0], CLIPTextModel, WIDTH, "quick_gelu"),
        (clips[1], tokenizers[1], CLIPTextModelWithProjection, SECOND_WIDTH, "gelu"),
    ):
        tower = {"hidden_size": width, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        text = {
            **tower,
            "hidden_act": act,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": LENGTH,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        }
        vision = {**tower, "hidden_size": WIDTH, "image_size": RESOLUTION, "patch_size": 8}
        clip = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=CLIP_WIDTH))
        clip.save_pretrained(folder)
        side = {"height": RESOLUTION, "width": RESOLUTION}
        CLIPImageProcessorPil(size={"shortest_edge": RESOLUTION}, crop_size=side).save_pretrained(folder)
        # As published: 2 was never eos, and is read as "pooled where the highest id is".
        encoder = kind(CLIPTextConfig(**{**text, "projection_dim": CLIP_WIDTH, "eos_token_id": 2}))
        inner = encoder if kind is CLIPTextModel else encoder.text_model
        inner.load_state_dict(clip.text_model.state_dict())
        if kind is CLIPTextModelWithProjection:
            encoder.text_projection.load_state_dict(clip.text_projection.state_dict())
        encoders.append(encoder)
    vae = build_vae(scaling_factor=0.6)
    unet = UNet2DConditionModel(
        sample_size=RESOLUTION // 2,
        in_channels=channels,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2),
        cross_attention_dim=WIDTH + SECOND_WIDTH,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=SIZES,
        projection_class_embeddings_input_dim=6 * SIZES + CLIP_WIDTH,
        **NORM,
    )
    scheduler = EulerAncestralDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
    )
    StableDiffusionXLInpaintPipeline(
        vae=vae,
        text_encoder=encoders[0],
        text_encoder_2=encoders[1],
        tokenizer=tokenizers[0],
        tokenizer_2=tokenizers[1],
        unet=unet,
        scheduler=scheduler,
        force_zeros_for_empty_prompt=zeros_for_empty,
        add_watermarker=False,
    ).save_pretrained(base)
