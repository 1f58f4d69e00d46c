"""Check that a model folder, a CLIP and the settings of a training suit each other, by their small files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.diffusion.model import shapes, validation
from p2i_ray.encoders import processor_files, weight_files
from p2i_ray.errors import UserError
from p2i_ray.storage import locations

TOKENS = "embeddings.token_embedding.weight"
ROWS = 256  # of token embeddings, that are compared
ALIKE = 0.5  # their mean cosine is about 1 where a text encoder was taken from a CLIP, and about 0 where it wasn't
# A text tower's settings, its width first; by the others the encoder is chosen where two have the CLIP's width.
TOWER = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers")


def check_training(location: str, diffusion: DiffusionConfig, settings: TrainConfig) -> None:
    """Check that training can start from a model folder, with a CLIP and settings that suit it.

    Raises:
        UserError: it can't.
    """
    validation.check_model(location, widen=diffusion.widen)
    aligned = check_clip(diffusion.clip, location)
    if settings.contrastive_weight:
        check_origin(diffusion.clip, location, validation.family_of(location).encoders[aligned])
    check_lora(settings, validation.is_plain(location))


def check_lora(settings: TrainConfig, widened: bool) -> None:
    """Check that LoRA can train a model.

    Raises:
        UserError: the model's new input channels are zero, and LoRA would leave them so.
    """
    if settings.lora_rank and widened:
        raise UserError(
            f"train.lora_rank={settings.lora_rank} can't train what diffusion.widen=true adds: LoRA leaves the UNet's "
            "input layer as it is; set train.lora_rank=0, or give diffusion.base an inpainting model"
        )


def check_clip(location: str, model: str) -> int:
    """Check that a folder is a CLIP whose text tower is as wide as a model's text encoder; returns `aligned_encoder`.

    Raises:
        UserError: it isn't.
    """
    config = _clip_config(location)
    aligned = _aligned(config["text_config"], location, model)
    processor_files.check(location, setting="diffusion.clip")
    found = weight_files.find(location, weight_files.TRANSFORMERS, setting="diffusion.clip")
    shapes.check(location, "clip", config, found.tensors())
    return aligned


def check_origin(location: str, model: str, encoder: str) -> None:
    """Check that a text encoder was taken from a CLIP: through another's projection its states mean nothing.

    Token embeddings tell: they are frozen here, and other trainings hardly move them.

    Args:
        location: of the CLIP, which has been checked.
        model: location of the model folder, the same.
        encoder: the text encoder's folder in it.

    Raises:
        UserError: it wasn't.
    """
    folder = locations.join(model, encoder)
    found = (
        weight_files.find(folder, weight_files.TRANSFORMERS),
        weight_files.find(location, weight_files.TRANSFORMERS, setting="diffusion.clip"),
    )
    names = [next((name for name in one.tensors() if name.endswith(TOKENS)), None) for one in found]
    if None in names:  # what lacks them is refused when it is loaded
        return
    words = min(one.tensors()[str(name)].shape[0] for one, name in zip(found, names, strict=True))
    rows = range(words // 2, min(words // 2 + ROWS, words))
    own, clips = (one.rows(str(name), rows) for one, name in zip(found, names, strict=True))
    norms = np.linalg.norm(own, axis=1) * np.linalg.norm(clips, axis=1)
    likeness = float(np.mean((own * clips).sum(axis=1) / np.maximum(norms, 1e-12)))
    if likeness < ALIKE:
        raise UserError(
            f"diffusion.clip={location} has other token embeddings than {folder} (mean cosine {likeness:.2f}): the "
            "text encoder was taken from another CLIP of the same width; give that one"
        )


def aligned_encoder(location: str, model: str) -> int:
    """The one of a model's text encoders that was taken from a CLIP: CBA compares its states with its features.

    Args:
        location: of the CLIP.
        model: location of the model folder.

    Raises:
        UserError: none of them.
    """
    return _aligned(_clip_config(location)["text_config"], location, model)


def _aligned(text: Mapping[str, Any], location: str, model: str) -> int:
    tower = [text.get(name) for name in TOWER]
    tower[0] = tower[0] or 512  # what transformers takes where a CLIP's settings leave it out
    encoders = validation.family_of(model).encoders
    configs = [validation.read_config(locations.join(model, part, "config.json")) for part in encoders]
    own = [[config.get(name) for name in TOWER] for config in configs]
    fitting = [place for place, found in enumerate(own) if found[0] == tower[0]]
    if not fitting:
        widths = " and ".join(str(found[0]) for found in own)
        one = len(own) == 1
        raise UserError(
            f"diffusion.clip={location} has a text tower {tower[0]} wide, the text encoder{'' if one else 's'} of "
            f"{model} {'is' if one else 'are'} {widths} wide; give the CLIP that {'the' if one else 'a'} text encoder "
            "was taken from"
        )
    return max(fitting, key=lambda place: sum(a == b for a, b in zip(own[place], tower, strict=True)))


def _clip_config(location: str) -> dict[str, Any]:
    config = validation.read_config(locations.join(location, "config.json"))
    if not (isinstance(config.get("text_config"), dict) and isinstance(config.get("vision_config"), dict)):
        raise UserError(
            f"diffusion.clip={location}/config.json, of a {config.get('model_type', 'model')}, lacks text_config or "
            "vision_config; give a CLIP folder"
        )
    return config
