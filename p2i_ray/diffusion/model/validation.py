"""Check a model folder by its small files, before anything heavy is loaded."""

from __future__ import annotations

import json
import posixpath
from typing import Any

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.diffusion.model import shapes
from p2i_ray.encoders import tokenizer_files, weight_files
from p2i_ray.errors import UserError
from p2i_ray.storage import locations

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
WITH_WEIGHTS = {
    "unet": weight_files.DIFFUSERS,
    "vae": weight_files.DIFFUSERS,
    "text_encoder": weight_files.TRANSFORMERS,
}
# As model_index.json names them; a folder without that file is looked at part by part.
PIPELINES = ("StableDiffusionInpaintPipeline", "StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")
CLASSES = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"}  # as the parts' settings name them
FEW_STEPS = ("turbo", "lightning", "lcm", "hyper-sd")  # in the names of models that were distilled
RECORD = "training.json"  # of a model that was trained here: its settings and losses
UNET_CHANNELS = 9  # noisy latent 4, mask 1, product latent 4
PLAIN_CHANNELS = 4  # of a model that doesn't inpaint: the noisy latent


def check_model(location: str, resolution: int | None = None, widen: bool = False) -> None:
    """Check that a folder is a diffusers Stable Diffusion inpainting model that this package can use.

    Args:
        location: of the folder.
        resolution: side of the images to generate, pixels.
        widen: whether a model with 4 input channels is to be given five more.

    Raises:
        UserError: it isn't; the line says why.
    """
    check_kind(location)
    for part in PARTS:
        if not locations.exists(locations.join(location, part)):
            raise UserError(f"{location} has no {part}/; give the diffusers folder of an inpainting model")
    configs = {part: read_config(locations.join(location, part, "config.json")) for part in WITH_WEIGHTS}
    unet, vae, text = configs.values()
    for part, wanted in CLASSES.items():
        if (named := configs[part].get("_class_name", wanted)) != wanted:
            raise UserError(f"{location}/{part} is a {named}, not a {wanted}; give a Stable Diffusion 1.x or 2.x model")
    tokenizer_files.check(locations.join(location, "tokenizer"))
    scheduler = read_config(locations.join(location, "scheduler", "scheduler_config.json"))
    check_steps(location, unet)
    check_channels(location, unet, widen)
    if unet.get("cross_attention_dim") != text.get("hidden_size"):
        raise UserError(
            f"{location}: the UNet reads text {unet.get('cross_attention_dim')} wide, the text encoder's is "
            f"{text.get('hidden_size')} wide; take both from one model"
        )
    if scheduler.get("prediction_type", "epsilon") != "epsilon":
        raise UserError(
            f"{location}/scheduler predicts {scheduler['prediction_type']}, not noise (epsilon); Eq. 3 needs that"
        )
    factor = 2 ** (len(vae.get("block_out_channels") or [0]) - 1)
    if resolution is not None and resolution % factor:
        raise UserError(
            f"image.resolution={resolution} must be a multiple of {factor}, which a latent of {location} covers"
        )
    for part, config in configs.items():
        folder = locations.join(location, part)
        shapes.check(folder, part, config, weight_files.find(folder, WITH_WEIGHTS[part]).tensors())


def check_kind(location: str) -> None:
    """Check that a location is the folder of a Stable Diffusion pipeline, as far as its small files tell.

    Raises:
        UserError: it isn't there, is a single file, a LoRA, another pipeline or a model of few steps.
    """
    kind = locations.kind(location)
    if kind is None:
        raise UserError(f"model folder {location} is not there; check the path")
    if kind == "file":
        if posixpath.basename(location) == weight_files.LORA:
            raise UserError(f"{location} is a LoRA, no model; give the folder of the model that it was trained on")
        raise UserError(
            f"{location} is a single file; make a folder of it: python jobs/convert.py in={location} "
            "config=FOLDER_OF_THAT_KIND out=…"
        )
    index = locations.join(location, "model_index.json")
    if not locations.exists(index):
        if weight_files.LORA in locations.names(location):
            raise UserError(f"{location} holds a LoRA, no model; give the folder of the model that it was trained on")
        return
    name = read_config(index).get("_class_name")
    if name not in PIPELINES:
        raise UserError(f"{location} is a {name}; give the folder of a Stable Diffusion 1.x or 2.x inpainting model")


def check_steps(location: str, unet: dict[str, Any]) -> None:
    """Check that a model wasn't distilled for few steps without guidance: it would paint noise in thirty.

    Raises:
        UserError: it was.
    """
    folder, origin = posixpath.basename(location.rstrip("/")), str(unet.get("_name_or_path", ""))
    few = next((word for word in FEW_STEPS if word in f"{folder} {origin}".lower()), None)
    if unet.get("time_cond_proj_dim") is None and few is None:
        return
    why, remedy = "has time_cond_proj_dim, as consistency models have", ""
    if few and few in folder.lower():
        why, remedy = f"is called {few}", ", or rename the folder if it is none"
    elif few:
        why, remedy = f"was made of {origin}", ", or take _name_or_path out of unet/config.json if that is none"
    raise UserError(
        f"{location} {why}: a model for a few steps without guidance can't be trained or sampled as the paper does; "
        f"give the model that it was distilled from{remedy}"
    )


def check_prompt(location: str, diffusion: DiffusionConfig) -> None:
    """Check that a model that was trained here is given prompts such as it was trained on.

    Raises:
        UserError: its training had another token or template.
    """
    path = locations.join(location, RECORD)
    if not locations.exists(path):
        return
    trained = {"prompt": DiffusionConfig.model_fields["prompt"].default, **read_config(path).get("diffusion", {})}
    for name in ("token", "prompt"):
        if name in trained and trained[name] != (given := getattr(diffusion, name)):
            was, now = (value or "null" for value in (trained[name], given))
            raise UserError(f"{location} was trained with diffusion.{name}={was}, not {now}; set it so")


def check_channels(location: str, unet: dict[str, Any], widen: bool) -> None:
    """Check that a UNet's settings have the inputs of an inpainting model, or can be given them.

    Raises:
        UserError: they have not.
    """
    channels = unet.get("in_channels")
    if channels == UNET_CHANNELS or (channels == PLAIN_CHANNELS and widen):
        return
    remedy = "give an inpainting model (noisy latent 4, mask 1, product latent 4)"
    if channels == PLAIN_CHANNELS:
        remedy += ", or set diffusion.widen=true to add them, starting at zero"
    raise UserError(f"{location}/unet has {channels} input channels, not {UNET_CHANNELS}; {remedy}")


def is_plain(location: str) -> bool:
    """Whether a model folder's UNet doesn't inpaint: it takes the noisy latent alone.

    Raises:
        UserError: it has no settings.
    """
    return read_config(locations.join(location, "unet", "config.json")).get("in_channels") == PLAIN_CHANNELS


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


def check_training(location: str, diffusion: DiffusionConfig, settings: TrainConfig) -> None:
    """Check that training can start from a model folder, with a CLIP and settings that suit it.

    Raises:
        UserError: it can't.
    """
    check_model(location, widen=diffusion.widen)
    check_clip(diffusion.clip, location)
    check_lora(settings, is_plain(location))


def check_clip(location: str, model: str) -> None:
    """Check that a folder is a CLIP whose text tower is as wide as a model's text encoder.

    Raises:
        UserError: it isn't.
    """
    config = read_config(locations.join(location, "config.json"))
    if not (isinstance(config.get("text_config"), dict) and isinstance(config.get("vision_config"), dict)):
        raise UserError(
            f"diffusion.clip={location}/config.json, of a {config.get('model_type', 'model')}, lacks text_config or "
            "vision_config; give a CLIP folder"
        )
    found = weight_files.find(location, weight_files.TRANSFORMERS, setting="diffusion.clip")
    width = config.get("text_config", {}).get("hidden_size", 512)
    expected = read_config(locations.join(model, "text_encoder", "config.json")).get("hidden_size")
    if width != expected:
        raise UserError(
            f"diffusion.clip={location} has a text tower {width} wide, the text encoder of {model} is {expected} wide; "
            "give the CLIP that the text encoder was taken from"
        )
    shapes.check(location, "clip", config, found.tensors())


def anywhere(diffusion: DiffusionConfig) -> DiffusionConfig:
    """The same settings with absolute folders: workers have other working directories."""
    return diffusion.model_copy(
        update={"base": locations.absolute(diffusion.base), "clip": locations.absolute(diffusion.clip)}
    )


def read_config(location: str) -> dict[str, Any]:
    """The settings in a part's JSON file.

    Raises:
        UserError: it is not there, or holds no settings.
    """
    if not locations.exists(location):
        raise UserError(f"{location} is not there; check the path")
    try:
        values = json.loads(locations.read_text(location))
    except ValueError as error:
        raise UserError(f"{location} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{location} holds no settings")
    return values
