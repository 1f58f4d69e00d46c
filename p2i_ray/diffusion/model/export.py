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
from p2i_ray.storage import locations

ROW = "text_encoder.embeddings.token_embedding.row"  # see prompt.TokenEmbedding
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
        transformers4.complete(parts.tokenizer, Path(local))
        folders = [Path(local)]
        if adapters:
            folders.append(Path(local, lora.FOLDER))
            lora.write(lora.join(lora.read(trained.base), adapters), folders[-1])
        if trained.diffusion.token is not None:
            for folder in folders:
                save_file({trained.diffusion.token: trained.weights[ROW].contiguous()}, folder / EMBEDDING)
        for name, content in files.items():
            Path(local, name).write_text(content, "utf-8")
        locations.put_folder(local, out)


def lay_over(parts: loading.Parts, settings: TrainConfig, weights: Mapping[str, torch.Tensor]) -> lora.Adapters:
    """Put trained weights, named as in step.Product2Img, in a loaded folder; returns the adapters among them.

    Adapters are merged, `ROW` is the token's embedding, all other weights replace the folder's own.
    """
    adapters = lora.collect(weights, settings) if settings.lora_rank else {}
    lora.merge(parts, adapters)
    for part in ("unet", "text_encoder"):
        state = {
            name.removeprefix(f"{part}."): value
            for name, value in weights.items()
            if name.startswith(f"{part}.") and name != ROW and lora.MARK not in name
        }
        unexpected = getattr(parts, part).load_state_dict(state, strict=False).unexpected_keys
        assert not unexpected, f"trained weights that the folder doesn't have: {unexpected}"
    if parts.token_id is not None:
        with torch.no_grad():
            parts.text_encoder.get_input_embeddings().weight[parts.token_id] = weights[ROW]  # type: ignore[operator]
    return adapters


def _drop_origins(model: Path) -> None:
    """Leave out of the parts' settings which folder they were loaded from."""
    for config in model.glob("*/config.json"):
        settings = json.loads(config.read_text("utf-8"))
        if settings.pop("_name_or_path", None) is not None:
            config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", "utf-8")
