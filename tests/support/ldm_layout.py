"""The tiny painter as one file, with the names of the first Stable Diffusion's own code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
ENDS |= {"add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2"}
ENDS |= {"conv_norm_out": "out.0", "conv_out": "out.2"}
OPEN_CLIP = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm": "ln_final",
    "layer_norm": "ln_",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
MIDDLE = {"resnets.0": "0", "attentions.0": "1", "resnets.1": "2"}


def single_file(folder: Path, layers: int = 1) -> dict[str, torch.Tensor]:
    """All weights of a model folder with `layers` layers a block, without attention in its autoencoder."""
    text = load_file(folder / "text_encoder" / "model.safetensors")
    prefix = "cond_stage_model.transformer.text_model."
    return _networks(folder, layers) | {prefix + name.removeprefix("text_model."): v for name, v in text.items()}


def single_file_xl(folder: Path, layers: int = 1) -> dict[str, torch.Tensor]:
    """The same of Stable Diffusion XL, whose second text encoder has OpenCLIP's names."""
    first, second = (load_file(folder / f"text_encoder{n}" / "model.safetensors") for n in ("", "_2"))
    prefix = "conditioner.embedders.0.transformer.text_model."
    found = _networks(folder, layers) | {prefix + name.removeprefix("text_model."): v for name, v in first.items()}
    return found | {f"conditioner.embedders.1.model.{name}": value for name, value in _open_clip(second)}


def _open_clip(state: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in state.items():
        short = name.removeprefix("text_model.").replace("encoder.layers.", "transformer.resblocks.")
        for ours, theirs in OPEN_CLIP.items():
            short = short.replace(ours, theirs)
        if "self_attn.q_proj" in short:
            parts = [state[name.replace("q_proj", f"{which}_proj")] for which in "qkv"]
            yield short.replace("self_attn.q_proj.", "attn.in_proj_"), torch.cat(parts)
        elif short == "text_projection.weight":
            yield "text_projection", value.T.contiguous()
        elif "self_attn." not in short:
            yield short, value


def _networks(folder: Path, layers: int) -> dict[str, torch.Tensor]:
    unet, vae = (load_file(folder / part / "diffusion_pytorch_model.safetensors") for part in ("unet", "vae"))
    blocks = 1 + max(int(name.split(".")[2]) for name in vae if name.startswith("encoder.down_blocks"))
    found = {f"model.diffusion_model.{_unet(name, unet, layers)}": value for name, value in unet.items()}
    return found | {f"first_stage_model.{_vae(name, blocks)}": value for name, value in vae.items()}


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
