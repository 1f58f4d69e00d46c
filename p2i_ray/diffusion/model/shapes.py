"""Whether a part's weights are those that its configuration describes, by their names, types and shapes alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from p2i_ray.encoders import weight_files
from p2i_ray.errors import UserError
from p2i_ray.storage.safetensors_header import Tensor

TYPES = ("F64", "F32", "F16", "BF16")  # of weights that can be trained or painted with
TEXT = "text_model."  # before the names of a text tower; transformers 5 leaves it out of a text encoder's
VISION = "vision_model."  # before the names of the other tower, where a text encoder's folder has a whole CLIP
PROJECTION = "text_projection.weight"
MERGE = "merge it: in diffusers fuse_lora() and then unload_lora_weights(), before save_pretrained()"
_LAYER = re.compile(r"encoder\.layers\.(\d+)\.")


class Size(NamedTuple):
    """A tensor's size along one axis, and the setting that states it."""

    tensor: str
    axis: int
    setting: str
    value: Any


def check(location: str, part: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Check a part's weights against its configuration.

    Args:
        location: of the part's folder, for messages.
        part: "unet", "vae", "text_encoder", "text_encoder_2" or "clip".
        config: its config.json.
        tensors: of its weights.

    Raises:
        UserError: they are of another model, or quantised; or a LoRA is beside them, which nothing would read.
    """
    if config.get("quantization_config"):
        raise UserError(f"{location}/config.json has quantization_config; give weights as F32, F16 or BF16")
    for name, tensor in tensors.items():
        if name.endswith(".weight") and tensor.dtype not in TYPES:
            raise UserError(f"{location}: {name} is stored as {tensor.dtype}; give weights as F32, F16 or BF16")
    if adapter := next(filter(weight_files.LORA_PART.search, tensors), None):
        raise UserError(f"{location} has a LoRA that is not merged ({adapter}); {MERGE}")
    for size in _sizes(part, config, tensors):
        if size.value is None:
            continue
        if size.tensor not in tensors:
            raise UserError(f"{location}: the weights have no {size.tensor}: they are no {part.replace('_', ' ')}'s")
        shape = tensors[size.tensor].shape
        if size.axis >= len(shape) or shape[size.axis] != size.value:
            raise UserError(
                f"{location}: {size.tensor} is {' x '.join(map(str, shape))}, and config.json says "
                f"{size.setting}={size.value}; take configuration and weights from one model"
            )
    for prefix, layers in _layers(part, config):
        texts = [name for name in tensors if name.startswith(prefix) and not name.startswith(VISION)]
        found = {match[1] for name in texts if (match := _LAYER.search(name))}
        if len(found) != layers:
            raise UserError(
                f"{location}: the weights have {len(found)} text layers, and config.json says num_hidden_layers="
                f"{layers}; take configuration and weights from one model"
            )


def _sizes(part: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Iterable[Size]:
    if part == "unet":
        return _unet(config, tensors)
    if part == "vae":
        return _vae(config)
    if part.startswith("text_encoder"):
        return _text_encoder(config, tensors)
    text = config.get("text_config", {})
    projected = Size(PROJECTION, 0, "projection_dim", config.get("projection_dim"))
    pictured = Size("visual_projection.weight", 0, "projection_dim", config.get("projection_dim"))
    return (*_text(text, TEXT), projected, pictured)


def _unet(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Iterable[Size]:
    widths = config.get("block_out_channels") or [None]
    yield Size("conv_in.weight", 0, "block_out_channels[0]", widths[0])
    yield Size("conv_in.weight", 1, "in_channels", config.get("in_channels"))
    yield Size("conv_out.weight", 0, "out_channels", config.get("out_channels"))
    text = config.get("cross_attention_dim")
    if isinstance(text, int):
        for name in tensors:
            if name.endswith("attn2.to_k.weight"):
                yield Size(name, 1, "cross_attention_dim", text)


def _vae(config: Mapping[str, Any]) -> Iterable[Size]:
    widths = config.get("block_out_channels") or [None]
    yield Size("encoder.conv_in.weight", 0, "block_out_channels[0]", widths[0])
    yield Size("decoder.conv_in.weight", 1, "latent_channels", config.get("latent_channels"))


def _text(config: Mapping[str, Any], prefix: str) -> Iterable[Size]:
    tokens, places = f"{prefix}embeddings.token_embedding.weight", f"{prefix}embeddings.position_embedding.weight"
    yield Size(tokens, 0, "vocab_size", config.get("vocab_size"))
    yield Size(tokens, 1, "hidden_size", config.get("hidden_size"))
    yield Size(places, 0, "max_position_embeddings", config.get("max_position_embeddings"))


def _text_encoder(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Iterable[Size]:
    yield from _text(config, TEXT if any(name.startswith(TEXT) for name in tensors) else "")
    if "CLIPTextModelWithProjection" in (config.get("architectures") or ()):
        yield Size(PROJECTION, 0, "projection_dim", config.get("projection_dim"))


def _layers(part: str, config: Mapping[str, Any]) -> Iterable[tuple[str, int]]:
    """The prefix of text layers' names, and how many there are to be."""
    text = config if part.startswith("text_encoder") else config.get("text_config", {}) if part == "clip" else {}
    if layers := text.get("num_hidden_layers"):
        yield TEXT if part == "clip" else "", layers
