"""Settings of the paper's baselines: other methods that paint the same products, to be compared with."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from p2i_ray.config.base import Content, Result, Settings
from p2i_ray.config.diffusion import NAME

Method = Literal["product2img", "sd_inpainting", "controlnet", "ip_adapter", "powerpaint", "lama", "given"]


class BaselineConfig(Settings):
    """Settings that a baseline needs beside the model; product2img takes none of them."""

    prompt: Result[str] = Field(
        f"{NAME}, high-quality and appropriate background", description="their prompt (paper: this one)"
    )
    controlnet: Content[str | None] = Field(
        None, description="controlnet: diffusers folder of a ControlNet for canny edges"
    )
    controlnet_scale: Result[float] = Field(
        0.5, gt=0, description="controlnet: weight of its outputs (diffusers' default for inpainting)"
    )
    ip_adapter: Content[str | None] = Field(None, description="ip_adapter: its .safetensors file")
    ip_adapter_encoder: Content[str | None] = Field(
        None, description="ip_adapter: transformers folder of its image encoder, a CLIP vision model"
    )
    ip_adapter_sees: Result[Literal["product", "reference"]] = Field(
        "product", description="ip_adapter: the product on white, or the background of each row's reference"
    )
    ip_adapter_scale: Result[float] = Field(
        0.5, ge=0, description="ip_adapter: weight of the picture prompt beside the text"
    )
