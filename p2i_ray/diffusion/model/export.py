"""From trained weights to a model folder that diffusers loads; weights are safetensors only."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.diffusion.model import loading, lora, transformers4
from p2i_ray.storage import folders

ROW = ".token_embedding.row"  # ends the name of the token's embedding in a text encoder; see prompt.TokenEmbedding
EMBEDDING = "learned_embeds.safetensors"  # where diffusers' load_textual_inversion looks


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The result of a training.

    Attributes:
        base: location of the model folder that training started from.
        diffusion: the token, and whether the base was widened.
        settings: of the training.
        weights: every trained parameter in float32, named as in step.Product2Img.
    """

    base: str
    diffusion: DiffusionConfig
    settings: TrainConfig
    weights: Mapping[str, torch.Tensor]


def write(trained: Trained, files: Mapping[str, str], out: str) -> None:
    """Write the complete model folder that a training made of its base.

    It opens with transformers 4 as well as 5, and names no place of this machine. The token's embedding is also in a
    file of its own, as diffusers' load_textual_inversion reads it. With LoRA the adapters are merged into the weights,
    and lora/ has them as well, in diffusers' own format: together with those of the rounds before, relative to the
    folder that the first of these rounds started from.

    Args:
        trained: the weights and where they come from.
        files: further text files, name to content: the model card, the training curve.
        out: location of the new folder; its scheduler is Euler Ancestral.
    """
    parts = loading.load(trained.base, trained.diffusion)
    adapters = lay_over(parts, trained.settings, trained.weights)
    with tempfile.TemporaryDirectory(prefix="p2i_model_") as local:
        parts.pipeline().save_pretrained(local, safe_serialization=True)
        _drop_origins(Path(local))
        transformers4.complete(parts, Path(local))
        pipelines = [Path(local)]
        if adapters:
            pipelines.append(Path(local, lora.FOLDER))
            lora.write(lora.join(lora.read(trained.base), adapters), parts.backbone, pipelines[-1])
        if trained.diffusion.token is not None:
            for folder in pipelines:
                save_file(embeddings(parts, trained.diffusion.token, trained.weights), folder / EMBEDDING)
        for name, content in files.items():
            Path(local, name).write_text(content, "utf-8")
        folders.put_folder(local, out)


def embeddings(parts: loading.Parts, token: str, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The token's embeddings, (d,) in each text encoder, under the names that people look for them by."""
    rows = rows_of(parts, weights)
    return {text.key or token: rows[text.encoder].contiguous() for text in parts.backbone.family.texts}


def rows_of(parts: loading.Parts, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The token's embeddings among trained weights, by text encoder."""
    found = {name.partition(".")[0]: value for name, value in weights.items() if name.endswith(ROW)}
    return {encoder: found[encoder] for encoder in parts.backbone.family.encoders}


def lay_over(parts: loading.Parts, settings: TrainConfig, weights: Mapping[str, torch.Tensor]) -> lora.Adapters:
    """Put trained weights, named as in step.Product2Img, in a loaded folder; returns the adapters among them.

    Adapters are merged, those that end with `ROW` are the token's embeddings, all others replace the folder's own.
    """
    adapters = lora.collect(weights, settings) if settings.lora_rank else {}
    lora.merge(parts, adapters)
    for part, network in parts.networks.items():
        state = {
            name.removeprefix(f"{part}."): value
            for name, value in weights.items()
            if name.startswith(f"{part}.") and not name.endswith(ROW) and lora.MARK not in name
        }
        unexpected = network.load_state_dict(state, strict=False).unexpected_keys
        assert not unexpected, f"trained weights that the folder doesn't have: {unexpected}"
    if parts.token_ids:
        rows = rows_of(parts, weights).values()
        with torch.no_grad():
            for encoder, number, row in zip(parts.text_encoders, parts.token_ids, rows, strict=True):
                encoder.get_input_embeddings().weight[number] = row  # type: ignore[operator]
    return adapters


def _drop_origins(model: Path) -> None:
    """Leave out of the parts' settings which folder they were loaded from."""
    for config in model.glob("*/config.json"):
        settings = json.loads(config.read_text("utf-8"))
        if settings.pop("_name_or_path", None) is not None:
            config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", "utf-8")
