"""Check what baselines need beside their base model, by its small files, before anything heavy is loaded."""

from __future__ import annotations

from typing import Any

from p2i_ray.config.baseline import BaselineConfig
from p2i_ray.diffusion.backbones import families
from p2i_ray.diffusion.model import validation
from p2i_ray.encoders import weight_files
from p2i_ray.errors import UserError
from p2i_ray.storage import folders, locations, safetensors_header

VECTORS = 10  # of each of PowerPaint's learned words
CONTEXT, OBJECT = ([f"{word}_{number}" for number in range(VECTORS)] for word in ("P_ctxt", "P_obj"))
PROJECTION, ATTENTION = "image_proj.", "ip_adapter."  # begin the names of an IP-Adapter's tensors


def check_controlnet(settings: BaselineConfig, model: str) -> None:
    """Check that there is a ControlNet that was made for such a base model.

    Raises:
        UserError: there is none, it is of another base, or the base is of a family that has no such pipeline here.
    """
    folder = _needed("baseline.controlnet", settings.controlnet, "the folder of a ControlNet for canny edges")
    if (family := validation.family_of(model)) is not families.STABLE_DIFFUSION:
        raise UserError(
            f"method=controlnet paints with {families.STABLE_DIFFUSION.name}, and model={model} is a {family.name}; "
            "give another model, or method=sd_inpainting"
        )
    config = validation.read_config(locations.join(folder, "config.json"))
    if (kind := config.get("_class_name")) != "ControlNetModel":
        raise UserError(f"baseline.controlnet={folder} is a {kind}, no ControlNetModel; give a ControlNet's folder")
    base = _denoiser(model)
    for name in ("cross_attention_dim", "block_out_channels"):
        if config.get(name) != base.get(name):
            raise UserError(
                f"baseline.controlnet={folder} has {name}={config.get(name)}, the UNet of {model} has "
                f"{base.get(name)}: it belongs to another base model"
            )
    weight_files.find(folder, weight_files.DIFFUSERS, setting="baseline.controlnet").tensors()


def check_ip_adapter(settings: BaselineConfig, model: str) -> None:
    """Check that there are an IP-Adapter and an image encoder that fit each other and the base model.

    Raises:
        UserError: one is not there, or they don't fit.
    """
    file = _needed("baseline.ip_adapter", settings.ip_adapter, "the .safetensors file of an IP-Adapter")
    folder = _needed("baseline.ip_adapter_encoder", settings.ip_adapter_encoder, "the folder of its image encoder")
    if file.endswith(weight_files.PICKLED):
        raise UserError(f"baseline.ip_adapter={file} is pickled; give the .safetensors file that lies beside it")
    tensors = safetensors_header.read(file)
    if not all(any(name.startswith(part) for name in tensors) for part in (PROJECTION, ATTENTION)):
        raise UserError(
            f"baseline.ip_adapter={file} has no tensors called {PROJECTION}… and {ATTENTION}…: it is no IP-Adapter"
        )
    width = _denoiser(model).get("cross_attention_dim")
    reads = next((tensors[name].shape[1] for name in tensors if name.endswith(".to_k_ip.weight")), None)
    if reads != width:
        raise UserError(
            f"baseline.ip_adapter={file} gives text {reads} wide, the UNet of {model} reads {width}: it belongs to "
            "another base model"
        )
    config = validation.read_config(locations.join(folder, "config.json"))
    vision = config.get("vision_config", config)
    given = {"proj.weight": vision.get("projection_dim"), "proj_in.weight": vision.get("hidden_size")}
    for name, size in given.items():
        tensor = tensors.get(f"{PROJECTION}{name}")
        if tensor is not None and size is not None and tensor.shape[1] != size:
            raise UserError(
                f"baseline.ip_adapter={file} takes features {tensor.shape[1]} wide, those of "
                f"baseline.ip_adapter_encoder={folder} are {size} wide; give the encoder that it was made with"
            )
    weight_files.find(folder, weight_files.TRANSFORMERS, setting="baseline.ip_adapter_encoder").tensors()


def check_powerpaint(model: str) -> None:
    """Check that a folder's tokenizer knows PowerPaint's learned words.

    Raises:
        UserError: it doesn't.
    """
    folder = locations.join(model, "tokenizer")
    names = set(folders.names(folder)) & {"added_tokens.json", "tokenizer.json", "vocab.json"}
    known = "".join(locations.read_text(locations.join(folder, name)) for name in sorted(names))
    if absent := [word for word in (*CONTEXT, *OBJECT) if f'"{word}"' not in known]:
        raise UserError(
            f"{folder} doesn't know {absent[0]}; give PowerPaint v1 as a diffusers folder whose tokenizer has "
            f"{CONTEXT[0]} to {CONTEXT[-1]} and {OBJECT[0]} to {OBJECT[-1]}"
        )


def check_lama(file: str) -> None:
    """Check that a model is an ONNX file.

    Raises:
        UserError: it isn't there, or is something else.
    """
    if locations.kind(file) != "file" or not file.endswith(".onnx"):
        raise UserError(f"model={file} must be LaMa's .onnx file, which takes a picture and a mask; check the path")


def _denoiser(model: str) -> dict[str, Any]:
    part = validation.family_of(model).denoiser
    return validation.read_config(locations.join(model, part, "config.json"))


def _needed(setting: str, value: str | None, what: str) -> str:
    if value is None:
        raise UserError(f"this method needs {setting}: {what}")
    if not locations.exists(value):
        raise UserError(f"{setting}={value} is not there; check the path")
    return value
