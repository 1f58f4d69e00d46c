"""Whether a model can be the judge: told before an engine is started, in one line."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from p2i_ray.errors import UserError
from p2i_ray.storage import locations

MEGABYTE = 1 << 20
SMALL = {".json", ".txt", ".jinja", ".model"}
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
# What configurations of vision-language models call their eyes.
EYES = (
    "vision_config",
    "vision_tower",
    "mm_vision_tower",
    "vision_encoder",
    "visual",
    "image_token_id",
    "image_token_index",
)


def check(model: str) -> str:
    """The model as engines should be told it: an absolute folder, or a hub's id as it is.

    Raises:
        UserError: the folder isn't there or holds no configuration, no vision-language model, no safetensors
            weights, or a model that needs code of its own.
    """
    if locations.is_uri(model):
        raise UserError(f"judge.model={model}: engines read a folder; copy it where all nodes see it")
    folder = Path(model).expanduser()
    if not folder.is_dir():
        if _is_hub_id(model):
            return model
        raise UserError(f"judge.model={model}: there is no such folder; check the path")
    _check_config(folder)
    if not any(folder.glob("*.safetensors")):
        pickles = any(any(folder.glob(pattern)) for pattern in PICKLES)
        found = "only pickle weights, which can run code when they are loaded" if pickles else "no weights"
        raise UserError(f"judge.model={model}: the folder has {found}; save the model with safetensors")
    return str(folder.resolve())


def _check_config(folder: Path) -> None:
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"judge.model={folder}: the folder has no config.json; give a transformers model folder")
    try:
        config = json.loads(path.read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"judge.model={folder}: config.json is not JSON: {error}") from None
    kind = config.get("model_type")
    if "auto_map" in config and not _known(kind):
        raise UserError(f"judge.model={folder}: a {kind!r} model needs remote code (auto_map), which is never run")
    if not any(eye in config for eye in EYES):
        raise UserError(f"judge.model={folder}: a {kind!r} model is not a vision-language model; the judge needs one")


def _known(kind: str | None) -> bool:
    """Whether transformers has the model's code itself; files may name remote code out of habit."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return kind in CONFIG_MAPPING_NAMES


def _is_hub_id(model: str) -> bool:
    """Whether it can be an id such as Qwen/Qwen2.5-VL-7B-Instruct rather than a mistyped path."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", model) or Path(model).parent.is_dir():
        return False
    return os.environ.get("HF_HUB_OFFLINE", "0") in ("", "0") or _is_cached(model)


def _is_cached(model: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(model, "config.json"), str)


def fingerprint(model: str) -> str:
    """What tells a model from another: a hub's id as it is, or a hash over a folder's files.

    Small files count whole. Of weights their length, first and last megabyte do: training changes them everywhere,
    and reading all of a 7B model would take longer than starting it.
    """
    if not Path(model).is_dir():
        return model
    small = [file for file in locations.files(model) if Path(file).suffix in SMALL]
    return locations.digest(small) + locations.digest(locations.files(model, ".safetensors"), ends=MEGABYTE)
