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
from p2i_ray.diffusion.model import loading, validation
from p2i_ray.diffusion.model.fingerprint import fingerprint, of_painter
from p2i_ray.encoders import weight_files
from p2i_ray.errors import UserError
from p2i_ray.generators import record_file
from p2i_ray.generators.categories import Categories, Category
from p2i_ray.generators.category import CategoryGenerator
from p2i_ray.generators.generator import Generator, Kind, picture_widths
from p2i_ray.generators.identifiers import Identifiers
from p2i_ray.generators.personality import PersonalityGenerator
from p2i_ray.generators.prompts import Templates
from p2i_ray.generators.reference_tokens import ReferenceTokens, reference_tokens
from p2i_ray.storage import locations, safetensors_header

IDENTIFIERS, TENSOR = "identifiers.safetensors", "identifiers"
TOKENS = "reference_tokens.safetensors"
# Settings that a copy has from its base; those that one of the two doesn't state are left to the weights.
SHARED = (
    "block_out_channels",
    "cross_attention_dim",
    "down_block_types",
    "layers_per_block",
    "attention_head_dim",
    "use_linear_projection",
    "addition_embed_type",
)


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
    record |= {} if beside is None else {"beside": of_painter(beside)}
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
        locations.put_folder(local, out)


def check(location: str, kind: Kind, model: str, settings: GeneratorsConfig) -> None:
    """Check by its small files that a folder is a generator of a kind, complete, and made for a base.

    Args:
        location: of the folder.
        kind: that it is to be.
        model: location of the base's model folder, which has been checked.
        settings: the base that is wanted.

    Raises:
        UserError: it isn't.
    """
    named = f"generators.{kind}={location}"
    if locations.kind(location) != "directory":
        raise UserError(f"{named} is no folder that is there; check the path")
    config = validation.read_config(locations.join(location, "config.json"))
    if (own := config.get("_class_name")) != "ControlNetModel":
        raise UserError(f"{named} is a {own}, no ControlNetModel; give a generator's folder")
    if not locations.exists(locations.join(location, record_file.NAME)):
        raise UserError(f"{named} has no {record_file.NAME}: it is a ControlNet, but none of a {kind}-wise generator")
    record = record_file.read(location)
    if record["kind"] != kind:
        raise UserError(f"{named} is a {record['kind']}-wise generator; give it as generators.{record['kind']}")
    _check_base(named, config, record, model, settings=settings)
    weight_files.find(location, weight_files.DIFFUSERS, setting=f"generators.{kind}").tensors()
    tokens = _check_identifiers(location, record, _text_width(model)) if kind == "category" else None
    record_file.check_settings(location, record, settings, tokens)
    if kind == "category":
        return
    if record.get("tokens") is None and settings.reference_clip is not None:
        raise UserError(f"{named} sees references themselves; leave generators.reference_clip out")
    elif record.get("tokens") is not None:
        if settings.reference_clip is None:
            raise UserError(f"{named} is told of references by a CLIP: set generators.reference_clip to its folder")
        if not locations.exists(locations.join(location, TOKENS)):
            raise UserError(f"{locations.join(location, TOKENS)} is not there: the folder isn't complete; copy it anew")


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
    with locations.local_folder(location) as folder:
        copy: ControlNetModel = loading.load_model(ControlNetModel.from_pretrained, folder, "", torch_dtype=dtype)
    return copy


def _check_base(
    named: str, config: Mapping[str, Any], record: Mapping[str, Any], model: str, *, settings: GeneratorsConfig
) -> None:
    denoiser = validation.read_config(locations.join(model, validation.family_of(model).denoiser, "config.json"))
    channels = validation.PLAIN_CHANNELS if settings.base == "text_to_image" else validation.INPUT_CHANNELS
    if config.get("in_channels") != channels:
        raise UserError(
            f"{named} has {config.get('in_channels')} input channels, not the {channels} of "
            f"generators.base={settings.base}: set the base that it was trained beside"
        )
    for name in SHARED:
        own, bases = config.get(name), denoiser.get(name)
        if own is not None and bases is not None and own != bases:
            raise UserError(
                f"{named} has {name}={own}, the UNet of {model} has {bases}: it belongs to another base model"
            )
    if not settings.other_base and record["base"] != fingerprint(model):
        raise UserError(
            f"{named} was made beside another base than {model}, of the same shape; give that base, or set "
            "generators.other_base=true to try it on this one"
        )


def _check_identifiers(location: str, record: Mapping[str, Any], width: int) -> int:
    """The number of tokens of each."""
    place = locations.join(location, IDENTIFIERS)
    if not locations.exists(place):
        raise UserError(f"{place} is not there: the folder isn't complete; copy it anew")
    tensors = safetensors_header.read(place)
    shape = tensors[TENSOR].shape if TENSOR in tensors else ()
    count = len(record["categories"])
    if len(shape) != 3 or shape[0] != count:
        raise UserError(
            f"{place} has identifiers of {shape[0] if shape else 0} categories, {record_file.NAME} beside it names "
            f"{count}; take both from one generator"
        )
    if shape[2] != width:
        raise UserError(
            f"{place} has {shape[2]} values a token, the base's text encoders have {width}: it belongs to another base "
            "model"
        )
    Categories([Category(**entry) for entry in record["categories"]])
    return shape[1]


def _text_width(model: str) -> int:
    family = validation.family_of(model)
    return family.text_width(
        {part: validation.read_config(locations.join(model, part, "config.json")) for part in family.encoders}
    )


def _drop_origin(config: Path) -> None:
    """Leave out of the copy's settings which folder it was loaded from."""
    settings = json.loads(config.read_text("utf-8"))
    if settings.pop("_name_or_path", None) is not None:
        config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", "utf-8")
