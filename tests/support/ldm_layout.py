"""The tiny painter as one file, with the names of the first Stable Diffusion's own code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0"}
RESNET |= {"conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
}
ENDS |= {"conv_norm_out": "out.0", "conv_out": "out.2"}
MIDDLE = {"resnets.0": "0", "attentions.0": "1", "resnets.1": "2"}


def single_file(folder: Path, layers: int = 1) -> dict[str, torch.Tensor]:
    """All weights of a model folder with `layers` layers a block, without attention in its autoencoder."""
    unet, vae = (load_file(folder / part / "diffusion_pytorch_model.safetensors") for part in ("unet", "vae"))
    text = load_file(folder / "text_encoder" / "model.safetensors")
    blocks = 1 + max(int(name.split(".")[2]) for name in vae if name.startswith("encoder.down_blocks"))
    found = {f"model.diffusion_model.{_unet(name, unet, layers)}": value for name, value in unet.items()}
    found |= {f"first_stage_model.{_vae(name, blocks)}": value for name, value in vae.items()}
    prefix = "cond_stage_model.transformer.text_model."
    return found | {prefix + name.removeprefix("text_model."): value for name, value in text.items()}


def _unet(name: str, state: Mapping[str, torch.Tensor], layers: int) -> str:
    for ours, theirs in ENDS.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    if found := re.match(r"mid_block\.(\w+\.\d)\.(.*)", name):
        return f"middle_block.{MIDDLE[found[1]]}.{_resnet(found[2])}"
    side, block, kind, number, rest = re.match(r"(\w+)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name).groups()  # type: ignore[union-attr]
    if side == "down":
        first = 1 + int(block) * (layers + 1)
        if kind == "downsamplers":
            return f"input_blocks.{first + layers}.0.{rest.replace('conv', 'op', 1)}"
        return f"input_blocks.{first + int(number)}.{int(kind == 'attentions')}.{_resnet(rest)}"
    first = int(block) * (layers + 1)
    if kind == "upsamplers":
        after = 1 + any(other.startswith(f"up_blocks.{block}.attentions") for other in state)
        return f"output_blocks.{first + layers}.{after}.{rest}"
    return f"output_blocks.{first + int(number)}.{int(kind == 'attentions')}.{_resnet(rest)}"


def _resnet(rest: str) -> str:
    first, _, last = rest.partition(".")
    return f"{RESNET[first]}.{last}" if first in RESNET and last in ("weight", "bias") else rest


def _vae(name: str, blocks: int) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    up = re.compile(r"up_blocks\.(\d)\.(resnets|upsamplers)\.(\d)")
    kinds = {"resnets": "block.{}", "upsamplers": "upsample"}
    return up.sub(lambda found: f"up.{blocks - 1 - int(found[1])}.{kinds[found[2]].format(found[3])}", name)
