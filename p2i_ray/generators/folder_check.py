"""Check a generator's folder by its small files and headers alone: drivers do it, without torch and diffusers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.diffusion.model import validation
from p2i_ray.diffusion.model.fingerprint import fingerprint
from p2i_ray.encoders import weight_files
from p2i_ray.errors import UserError
from p2i_ray.generators import record_file
from p2i_ray.generators.categories import Categories, Category
from p2i_ray.storage import locations, safetensors_header

if TYPE_CHECKING:
    from p2i_ray.generators.generator import Kind

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
