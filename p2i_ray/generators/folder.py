"""A generator's folder: diffusers' own ControlNet, and two small files beside it.

config.json, diffusion_pytorch_model.safetensors    the copy: ControlNetModel.from_pretrained(folder) loads it
generator.json                                      its kind, prompts, categories, and the base it was made from
identifiers.safetensors                             (N, K, D), of the category-wise generator
reference_tokens.safetensors                        of a personality-wise one that is told of the reference by tokens
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from safetensors.torch import load, save_file

from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.diffusion.model import loading
from p2i_ray.diffusion.model.fingerprint import fingerprint, of_models
from p2i_ray.errors import UserError
from p2i_ray.generators import record_file
from p2i_ray.generators.category import CategoryGenerator
from p2i_ray.generators.folder_check import IDENTIFIERS, TENSOR, TOKENS, check
from p2i_ray.generators.generator import Generator, picture_widths
from p2i_ray.generators.identifiers import Identifiers
from p2i_ray.generators.personality import PersonalityGenerator
from p2i_ray.generators.prompts import Templates
from p2i_ray.generators.reference_tokens import ReferenceTokens, reference_tokens
from p2i_ray.storage import folders, locations


def save(
    generator: Generator,
    out: str,
    *,
    made_from: str,
    base_prompt: str | None = None,
    beside: str | None = None,
    files: Mapping[str, str] | None = None,
) -> None:
    """Write a generator's folder.

    Args:
        generator: its copy's weights are written in the precision that they have.
        out: location of the folder.
        made_from: location of the base's model folder.
        base_prompt: what the base read in training, see the setting (none: unknown).
        beside: location of the generator of the other kind that was there in training (none: it learned alone).
        files: texts by file name, to be written beside.
    """
    record: dict[str, Any] = {"format": record_file.FORMAT, "kind": generator.kind, "base": fingerprint(made_from)}
    record |= {} if base_prompt is None else {"base_prompt": base_prompt}
    record |= {} if beside is None else {"beside": of_models(beside)}
    tensors: dict[str, torch.Tensor] = {}
    told: dict[str, torch.Tensor] = {}
    if isinstance(generator, CategoryGenerator):
        record |= generator.templates.__dict__
        record["plain"] = generator.plain
        record["categories"] = [category._asdict() for category in generator.categories.all]
        tensors[TENSOR] = generator.identifiers.table.detach().cpu().contiguous()
    elif isinstance(generator, PersonalityGenerator):
        record |= {"product": generator.templates.product, "masked": generator.masked}
        if generator.tokens is not None:
            record["tokens"] = generator.tokens.made_for
            told = {name: value.detach().cpu().contiguous() for name, value in generator.tokens.learned().items()}
    with tempfile.TemporaryDirectory(prefix="p2i_generator_") as local:
        generator.copy.save_pretrained(local, safe_serialization=True)
        _drop_origin(Path(local, "config.json"))
        for name, text in (files or {}).items():
            Path(local, name).write_text(text, "utf-8")
        Path(local, record_file.NAME).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
        for name, some in ((IDENTIFIERS, tensors), (TOKENS, told)):
            if some:
                save_file(some, Path(local, name))
        folders.put_folder(local, out)


def load_generators(
    model: str, parts: loading.Parts, settings: GeneratorsConfig, dtype: torch.dtype = torch.float32
) -> dict[str, Generator]:
    """The generators that the settings name, by kind; each fits the base.

    Args:
        model: location of the base's model folder.
        parts: of it.
        settings: the folders, and the weights of their outputs.
        dtype: arithmetic; identifiers stay float32.

    Raises:
        UserError: one can't be used.
    """
    found: dict[str, Generator] = {}
    if settings.category is not None:
        check(settings.category, "category", model, settings)
        found["category"] = _category(settings.category, dtype)
        found["category"].scale = settings.category_scale
    if settings.personality is not None:
        check(settings.personality, "personality", model, settings)
        record = record_file.read(settings.personality)
        templates = Templates(record["product"])
        copy = _copy(settings.personality, dtype)
        tokens = _tokens(settings.personality, settings, copy) if record.get("tokens") else None
        found["personality"] = PersonalityGenerator(copy, templates, record["masked"], tokens)
        found["personality"].scale = settings.personality_scale
    for generator in found.values():
        expected = picture_widths(parts.pixels_per_latent)
        if len(generator.copy.config["conditioning_embedding_out_channels"]) != len(expected):
            raise UserError(
                f"generators.{generator.kind} was made for a base whose latents cover other numbers of pixels than the "
                f"{parts.pixels_per_latent} x {parts.pixels_per_latent} of {model}: it belongs to another base model"
            )
    return found


def _category(location: str, dtype: torch.dtype) -> CategoryGenerator:
    record = record_file.read(location)
    table = load(locations.read_bytes(locations.join(location, IDENTIFIERS)))[TENSOR].float()
    found = record_file.categories(location)
    return CategoryGenerator(
        _copy(location, dtype),
        found,
        Identifiers(len(found), table.shape[1], table),
        Templates(record["product"], record["background"]),
        plain=record.get("plain", False),
    )


def _tokens(location: str, settings: GeneratorsConfig, copy: ControlNetModel) -> ReferenceTokens:
    made = reference_tokens(str(settings.reference_clip), int(copy.config["cross_attention_dim"]))
    if made.made_for != record_file.read(location)["tokens"]:
        raise UserError(
            f"generators.reference_clip={settings.reference_clip} is another CLIP than "
            f"generators.personality={location} was trained with; give that one"
        )
    made.take(load(locations.read_bytes(locations.join(location, TOKENS))))
    return made.to(copy.dtype)


def _copy(location: str, dtype: torch.dtype) -> ControlNetModel:
    with folders.local_folder(location) as folder:
        copy: ControlNetModel = loading.load_model(ControlNetModel.from_pretrained, folder, "", torch_dtype=dtype)
    return copy


def _drop_origin(config: Path) -> None:
    """Leave out of the copy's settings which folder it was loaded from."""
    settings = json.loads(config.read_text("utf-8"))
    if settings.pop("_name_or_path", None) is not None:
        config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", "utf-8")
