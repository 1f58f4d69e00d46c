"""LoRA: small matrices next to the attention layers learn in place of the model's weights (Hu et al., 2021).

A layer W x becomes W x + alpha / r * B A x, with A (r, in), B (out, r) and B zero at the start. Saved, alpha / r is
folded into B. Adapters of several rounds add up: [B1 B2] [A1; A2] = B1 A1 + B2 A2, so they are one of a higher rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from peft import LoraConfig
from safetensors.torch import load_file
from torch import nn

from p2i_ray.diffusion.model import training_checks
from p2i_ray.storage import folders, locations

if TYPE_CHECKING:
    from p2i_ray.config import TrainConfig
    from p2i_ray.diffusion.backbones.backbone import Backbone
    from p2i_ray.diffusion.model.loading import Parts

UNET_LAYERS = ("to_q", "to_k", "to_v", "to_out.0")  # of the attention; conv_in and the residual blocks stay
TEXT_LAYERS = ("q_proj", "k_proj", "v_proj", "out_proj")
MARK = ".lora_"  # in the name of every parameter of an adapter, and of no other
FOLDER = "lora"  # within a model folder
WEIGHTS = "pytorch_lora_weights.safetensors"  # where diffusers' load_lora_weights looks
TEXT = "text_encoder."
OLD_TEXT = f"{TEXT}text_model."  # how transformers before version 5 names this text encoder's layers


class Adapter(NamedTuple):
    """One layer's, float32."""

    down: torch.Tensor  # A, (r, in)
    up: torch.Tensor  # alpha / r * B, (out, r)


Adapters = dict[str, Adapter]  # by layer, named as in a model folder: unet.….to_q, text_encoder.….q_proj


def add(parts: Parts, settings: TrainConfig, seed: int) -> None:
    """Give a model's attention layers adapters, if `settings.lora_rank` asks for them; the seed is A's.

    Raises:
        UserError: the model's input layer has just been widened and has to learn.
    """
    training_checks.check_lora(settings, parts.widened)
    if not settings.lora_rank:
        return
    generator = torch.Generator().manual_seed(seed)
    texts = parts.text_encoders if settings.lr_text > 0 else ()
    for model, targets in [(parts.denoiser, UNET_LAYERS), *((encoder, TEXT_LAYERS) for encoder in texts)]:
        model.add_adapter(
            LoraConfig(
                r=settings.lora_rank,
                lora_alpha=settings.lora_alpha or settings.lora_rank,  # type: ignore[arg-type]  # divided by r, so any
                target_modules=list(targets),
            )
        )
        for name, parameter in model.named_parameters():
            if f"{MARK}A." in name and parameter.device.type != "meta":  # as peft does, but by our own seed
                nn.init.kaiming_uniform_(parameter, a=math.sqrt(5), generator=generator)


def choose_trained(model: nn.Module, settings: TrainConfig, trained: bool) -> None:
    """Say which of a model's parameters learn: all or none, and with LoRA only adapters."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(trained and (not settings.lora_rank or MARK in name))


def collect(weights: Mapping[str, torch.Tensor], settings: TrainConfig) -> Adapters:
    """The adapters among trained weights, which are named as in step.Product2Img."""
    scale = (settings.lora_alpha or settings.lora_rank) / settings.lora_rank
    layers = sorted({name.partition(MARK)[0] for name in weights if MARK in name})
    down, up = ({layer: weights[f"{layer}{MARK}{side}.default.weight"] for layer in layers} for side in "AB")
    return {layer: Adapter(down[layer], scale * up[layer]) for layer in layers}


def merge(parts: Parts, adapters: Adapters) -> None:
    """Add adapters to the weights of the layers they belong to."""
    with torch.no_grad():
        for layer, adapter in adapters.items():
            part, _, name = layer.partition(".")
            weight: Any = parts.networks[part].get_submodule(name).weight
            weight += adapter.up @ adapter.down


def join(first: Adapters, second: Adapters) -> Adapters:
    """Adapters that do what two do, one after the other merged; their ranks add up."""
    both = {
        layer: Adapter(
            torch.cat([first[layer].down, second[layer].down]), torch.cat([first[layer].up, second[layer].up], 1)
        )
        for layer in first.keys() & second.keys()
    }
    return dict(sorted({**first, **second, **both}.items()))


def read(model: str) -> Adapters:
    """The adapters that a model folder grew by; none where it did not grow by LoRA."""
    location = locations.join(model, FOLDER)
    if not locations.exists(locations.join(location, WEIGHTS)):
        return {}
    with folders.local_folder(location) as folder:
        state = {name.replace(OLD_TEXT, TEXT): value for name, value in load_file(Path(folder, WEIGHTS)).items()}
    layers = sorted({name.partition(MARK)[0] for name in state})
    return {layer: Adapter(state[f"{layer}{MARK}A.weight"], state[f"{layer}{MARK}B.weight"]) for layer in layers}


def write(adapters: Adapters, backbone: Backbone, folder: Path) -> None:
    """Write adapters into a local folder, as diffusers' `load_lora_weights` reads them.

    Args:
        adapters: all that lie between the first base and the model.
        backbone: of the model.
        folder: lora/ of the model's folder.
    """
    parts = (backbone.family.denoiser, *backbone.family.encoders)
    backbone.write_adapters(folder, {part: dict(_state(adapters, part)) for part in parts}, WEIGHTS)


def _state(adapters: Adapters, part: str) -> Iterator[tuple[str, torch.Tensor]]:
    """A part's adapters as peft names them, which diffusers reads as it reads its own older names."""
    for layer, adapter in adapters.items():
        if layer.startswith(f"{part}."):
            name = layer.removeprefix(f"{part}.")
            if f"{part}." == TEXT:
                name = f"text_model.{name}"
            yield f"{name}{MARK}A.weight", adapter.down.contiguous()
            yield f"{name}{MARK}B.weight", adapter.up.contiguous()
