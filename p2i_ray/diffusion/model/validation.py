"""Check a model folder by its small files, before anything heavy is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from p2i_ray.config import DiffusionConfig, ImageConfig
from p2i_ray.config.shapes import SQUARE
from p2i_ray.diffusion.backbones import families
from p2i_ray.diffusion.backbones.families import Family
from p2i_ray.diffusion.model import shapes
from p2i_ray.diffusion.model.card import public_name
from p2i_ray.encoders import tokenizer_files, weight_files
from p2i_ray.errors import UserError
from p2i_ray.run import job_output
from p2i_ray.storage import folders, locations

INDEX = "model_index.json"
FEW_STEPS = ("turbo", "lightning", "lcm", "hyper-sd", "dmd2")  # in the names of models that were distilled
FEW_STEPS_SCHEDULERS = ("LCMScheduler", "TCDScheduler")
OTHER_NOISE = ("FlowMatch", "EDM")  # begin the schedulers of models that were trained on other noise than Eq. 1's
ADAPTER = "adapter_config.json"  # of a LoRA as peft saves it
RECORD = "training.json"  # of a model that was trained here: its settings and losses
INPUT_CHANNELS = 9  # noisy latent 4, mask 1, product latent 4
PLAIN_CHANNELS = 4  # of a model that doesn't inpaint: the noisy latent
OTHER_CONDITIONS = ("class_embed_type", "num_class_embeds", "encoder_hid_dim_type")  # of a UNet that reads them
SIZES = 6  # numbers that say a picture's size, its cut and the size wanted


def check_model(location: str, image: ImageConfig | None = None, widen: bool = False) -> None:
    """Check that a folder is a diffusers Stable Diffusion inpainting model that this package can use.

    Args:
        location: of the folder.
        image: sizes of the images to train on and to generate.
        widen: whether a model with 4 input channels is to be given five more.

    Raises:
        UserError: it isn't; the line says why.
    """
    family = check_kind(location)
    for part in family.parts:
        if not locations.exists(locations.join(location, part)):
            raise UserError(f"{location} has no {part}/; give the diffusers folder of an inpainting model")
    with_weights = (family.denoiser, "vae", *family.encoders)
    for part in with_weights:
        check_merged(locations.join(location, part))
    configs = {part: read_config(locations.join(location, part, "config.json")) for part in with_weights}
    for part, wanted in family.classes.items():
        if (named := configs[part].get("_class_name", wanted)) != wanted:
            raise UserError(f"{location}/{part} is a {named}, not a {wanted}; give a {families.NAMES} model")
    for text in family.texts:
        tokenizer_files.check(locations.join(location, text.tokenizer))
    denoiser, vae = configs[family.denoiser], configs["vae"]
    check_steps(location, denoiser)
    check_channels(location, denoiser, widen)
    check_latents(location, denoiser, vae)
    check_conditions(location, denoiser)
    check_text(location, family, configs)
    check_noise(location, vae)
    if image is not None:
        check_sizes(image, 2 ** (len(vae.get("block_out_channels") or [0]) - 1), location)
    pooled = [text.encoder for text in family.texts if text.pooled]
    for part, config in configs.items():
        folder = locations.join(location, part)
        tensors = weight_files.find(folder, weights_name(part)).tensors()
        shapes.check(folder, part, config, tensors)
        if part in pooled and shapes.PROJECTION not in tensors:
            raise UserError(
                f"{folder}: the weights have no {shapes.PROJECTION}, through which {family.name} reads a prompt's last "
                "state; give its own text encoder, a CLIPTextModelWithProjection"
            )


def check_merged(folder: str) -> None:
    """Check that a part isn't what transformers saves of a network with a LoRA: the LoRA alone.

    Raises:
        UserError: it is.
    """
    names = folders.names(folder)
    if ADAPTER in names and "config.json" not in names:
        raise UserError(f"{folder} has a LoRA alone ({ADAPTER}), that is not merged; {shapes.MERGE}")


def check_sizes(image: ImageConfig, factor: int, location: str) -> None:
    """Check that pictures can be divided into latents, each of which covers `factor` x `factor` pixels.

    Raises:
        UserError: they can't.
    """
    if image.resolution % factor:
        raise UserError(
            f"image.resolution={image.resolution} must be a multiple of {factor}, which a latent of {location} covers"
        )
    if image.size_step % factor and image.aspect_ratios != (SQUARE,):
        raise UserError(
            f"image.size_step={image.size_step} must be a multiple of {factor}, which a latent of {location} covers"
        )


def weights_name(part: str) -> str:
    """The name that the files of a part's weights begin with."""
    return weight_files.TRANSFORMERS if part.startswith("text_encoder") else weight_files.DIFFUSERS


def read_index(location: str) -> dict[str, Any]:
    """A folder's model_index.json; empty where it has none, and its parts have to tell."""
    index = locations.join(location, INDEX)
    return read_config(index) if locations.exists(index) else {}


def family_of(location: str) -> Family:
    """The family of a model folder.

    Raises:
        UserError: it is a pipeline of another family, or one that only refines what another has painted.
    """
    index = read_index(location)
    if not index.get("_class_name"):
        second = families.STABLE_DIFFUSION_XL.texts[1].encoder
        has_two = locations.exists(locations.join(location, second))
        return families.STABLE_DIFFUSION_XL if has_two else families.STABLE_DIFFUSION
    name = str(index["_class_name"])
    family = families.named(name)
    if family is None:
        raise UserError(f"{location} is a {name}; give the folder of a {families.NAMES} inpainting model")
    if index.get("requires_aesthetics_score"):
        raise UserError(f"{location} is a refiner, which goes over what another model has painted; give that model")
    return family


def check_text(location: str, family: Family, configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that a model's denoiser reads what its text encoders give.

    Raises:
        UserError: it doesn't.
    """
    denoiser, width = configs[family.denoiser], family.text_width(configs)
    if denoiser.get("cross_attention_dim") != width:
        whose = "the text encoder's is" if len(family.texts) == 1 else "the text encoders' states are together"
        raise UserError(
            f"{location}: the UNet reads text {denoiser.get('cross_attention_dim')} wide, {whose} "
            f"{width} wide; take all parts from one model"
        )
    if not family.sized:
        return
    numbers = denoiser.get("projection_class_embeddings_input_dim")
    pooled = next(configs[text.encoder].get("projection_dim") or 0 for text in family.texts if text.pooled)
    expected = SIZES * (denoiser.get("addition_time_embed_dim") or 0) + pooled
    if (kind := denoiser.get("addition_embed_type")) != "text_time":
        raise UserError(
            f"{location}/unet has addition_embed_type={kind}, not text_time; give a {family.name} model (a base, no "
            "refiner) whose parts are of one model"
        )
    if numbers != expected:
        raise UserError(
            f"{location}/unet takes {numbers} numbers beside the timestep, not the {expected} of a pooled text and "
            f"{SIZES} sizes; give a {family.name} model (a base, no refiner) whose parts are of one model"
        )


def check_noise(location: str, vae: Mapping[str, Any]) -> None:
    """Check that a model was trained on the noise and the latents that Eq. 1 and 3 are about.

    Raises:
        UserError: it predicts something else, or its latents are normalised by mean and deviation.
    """
    scheduler = read_config(locations.join(location, "scheduler", "scheduler_config.json"))
    name = str(scheduler.get("_class_name", ""))
    if name.startswith(OTHER_NOISE):
        raise UserError(
            f"{location}/scheduler is a {name}: the model was trained on other noise than Eq. 1 and 3 are about; give "
            "another model"
        )
    if name in FEW_STEPS_SCHEDULERS:
        raise UserError(
            f"{location}/scheduler is {name}, as models for a few steps have; give the model that it was distilled "
            "from, or, if it is none, take the scheduler/ of its base model"
        )
    if scheduler.get("prediction_type", "epsilon") != "epsilon":
        raise UserError(
            f"{location}/scheduler predicts {scheduler['prediction_type']}, not noise (epsilon); Eq. 3 needs that"
        )
    if vae.get("latents_mean") is not None or vae.get("latents_std") is not None:
        raise UserError(
            f"{location}/vae has latents_mean or latents_std: its latents are normalised in a way that training and "
            "sampling here don't know; give another model"
        )


def check_kind(location: str) -> Family:
    """The family of a location that is the folder of a Stable Diffusion pipeline, as far as its small files tell.

    Raises:
        UserError: it isn't there or not whole, is a single file, a LoRA, another pipeline or a model of few steps.
    """
    kind = locations.kind(location)
    if kind is None:
        raise UserError(f"model folder {location} is not there; check the path")
    if kind == "file":
        if weight_files.is_lora(location):
            raise UserError(f"{location} is a LoRA, no model; give the folder of the model that it was trained on")
        raise UserError(
            f"{location} is a single file; make a folder of it: python jobs/convert.py in={location} "
            "config=FOLDER_OF_THAT_KIND out=…"
        )
    job_output.check_finished(location)
    parts = (INDEX, *(family.denoiser for family in families.FAMILIES))
    if not any(locations.exists(locations.join(location, part)) for part in parts):
        if locations.exists(locations.join(location, "snapshots")):
            raise UserError(f"{location} is a folder of the hub's cache; give {location.rstrip('/')}/snapshots/COMMIT")
        if any(weight_files.is_lora(locations.join(location, name)) for name in folders.names(location)):
            raise UserError(f"{location} holds a LoRA, no model; give the folder of the model that it was trained on")
    return family_of(location)


def check_steps(location: str, unet: dict[str, Any]) -> None:
    """Check that a model wasn't distilled for few steps without guidance: it would paint noise in thirty.

    Raises:
        UserError: it was.
    """
    trained_here = locations.exists(locations.join(location, RECORD))  # of a base that was none, whatever it is called
    folder = "" if trained_here else _own_name(location)
    origin = str(unet.get("_name_or_path", ""))
    few = next((word for word in FEW_STEPS if word in f"{folder} {_own_name(origin)}".lower()), None)
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


def _own_name(path: str) -> str:
    """A model's own name in the path of its folder or of its UNet's; those of the folders around say nothing of it."""
    folder = path.replace("\\", "/").rstrip("/").removesuffix("/unet").rstrip("/")
    return public_name(folder).rpartition("/")[2] if folder else ""  # in the hub's cache, its folder's is a number


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
    if channels == INPUT_CHANNELS or (channels == PLAIN_CHANNELS and widen):
        return
    remedy = "give an inpainting model (noisy latent 4, mask 1, product latent 4)"
    if channels == PLAIN_CHANNELS:
        remedy += ", or set diffusion.widen=true to add them, starting at zero"
    raise UserError(f"{location}/unet has {channels} input channels, not {INPUT_CHANNELS}; {remedy}")


def check_latents(location: str, unet: Mapping[str, Any], vae: Mapping[str, Any]) -> None:
    """Check that UNet and VAE have latents of four channels, as the inputs of an inpainting model are counted.

    Raises:
        UserError: they have not.
    """
    for part, config, name in (("unet", unet, "out_channels"), ("vae", vae, "latent_channels")):
        if (channels := config.get(name, PLAIN_CHANNELS)) != PLAIN_CHANNELS:
            raise UserError(
                f"{location}/{part} has {name}={channels}, not {PLAIN_CHANNELS}; give a {families.NAMES} model whose "
                "parts are of one model"
            )


def check_conditions(location: str, unet: Mapping[str, Any]) -> None:
    """Check that a UNet reads nothing beside text and time (and, of a family that is told it, the size).

    Raises:
        UserError: it reads class labels, as upscalers do, or pictures.
    """
    for name in OTHER_CONDITIONS:
        if (value := unet.get(name)) is not None:
            raise UserError(
                f"{location}/unet has {name}={value}: it must be told more than a text, which nothing here does; give "
                f"a {families.NAMES} inpainting model"
            )


def is_plain(location: str) -> bool:
    """Whether a model folder's UNet doesn't inpaint: it takes the noisy latent alone.

    Raises:
        UserError: it has no settings.
    """
    part = family_of(location).denoiser
    return read_config(locations.join(location, part, "config.json")).get("in_channels") == PLAIN_CHANNELS


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
