"""Check of the judge's model before an engine starts, with one-line errors."""

from __future__ import annotations

import glob
import json
import os
import re
from pathlib import Path
from typing import Any

from p2i_ray.encoders import weight_files
from p2i_ray.errors import UserError
from p2i_ray.storage import digests, folders, locations, safetensors_header

MEGABYTE = 1 << 20
SMALL = {".json", ".txt", ".jinja", ".model"}
HUB_ID = r"[A-Za-z0-9][\w.-]*/[\w.-]+"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
# Any of these keys in a configuration marks a vision-language model.
VISION_KEYS = (
    "vision_config",
    "vision_tower",
    "mm_vision_tower",
    "vision_encoder",
    "visual",
    "image_token_id",
    "image_token_index",
)


def check(model: str) -> str:
    """The model as an absolute folder, or the id on the hub unchanged.

    Raises:
        UserError: the folder isn't there, has no configuration, no vision-language model or no safetensors weights, or
            its model needs remote code; or vLLM would take its path for a pattern.
    """
    if locations.is_uri(model):
        raise UserError(f"judge.model={model}: engines read a folder; copy it where all nodes see it")
    folder = Path(model).expanduser()
    if not folder.is_dir():
        if _is_hub_id(model):
            return model
        raise UserError(f"judge.model={model}: there is no such folder; check the path")
    check_config(folder)
    if not any(folder.glob("*.safetensors")):
        pickles = any(any(folder.glob(pattern)) for pattern in PICKLES)
        found = "only pickle weights, which can run code when they are loaded" if pickles else "no weights"
        raise UserError(f"judge.model={model}: the folder has {found}; convert it: python jobs/convert.py in=… out=…")
    _check_complete(folder)
    if not glob.glob(f"{folder.resolve()}/*.safetensors"):  # noqa: PTH207  # as vLLM looks for them
        raise UserError(
            f"judge.model={model}: vLLM takes the brackets in {folder.resolve()} for a pattern, and would find no "
            "weights; rename that folder"
        )
    return str(folder.resolve())


def _check_complete(folder: Path) -> None:
    """Raise if weights are cut short, or an index lists files that aren't there, as after half a download."""
    if (folder / f"{weight_files.TRANSFORMERS}.safetensors.index.json").exists():
        weight_files.find(str(folder), weight_files.TRANSFORMERS).tensors()
        return
    for file in folder.glob("*.safetensors"):
        safetensors_header.read(str(file))


def check_config(folder: Path) -> None:
    """Raise a UserError unless a folder's config.json is a vision-language model's that needs no remote code."""
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"judge.model={folder}: the folder has no config.json; give a transformers model folder")
    try:
        config = json.loads(path.read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"judge.model={folder}: config.json is not JSON: {error}") from None
    model_type = config.get("model_type")
    if "auto_map" in config and not _known(model_type):
        raise UserError(
            f"judge.model={folder}: a {model_type!r} model needs remote code (auto_map), which is never run"
        )
    if not any(key in config for key in VISION_KEYS):
        raise UserError(
            f"judge.model={folder}: a {model_type!r} model is not a vision-language model; the judge needs one"
        )


def _known(model_type: str | None) -> bool:
    """Whether transformers has code for the model; configurations often name remote code without needing it."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES  # type: ignore[attr-defined]  # not in __all__

    return model_type in CONFIG_MAPPING_NAMES


def _is_hub_id(model: str) -> bool:
    """Whether it can be an id such as Qwen/Qwen2.5-VL-7B-Instruct, and not a mistyped path."""
    if not re.fullmatch(HUB_ID, model) or Path(model).parent.is_dir():
        return False
    return os.environ.get("HF_HUB_OFFLINE", "0") in ("", "0") or _is_cached(model)


def _is_cached(model: str) -> bool:
    return _cached_config(model) is not None


def _cached_config(model: str) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, "config.json")
    return found if isinstance(found, str) else None


def configuration(model: str) -> dict[str, Any]:
    """The config.json of a folder, or of an id on the hub that is in the cache; empty where there is none."""
    file: Path | str | None = Path(model) / "config.json"
    if not Path(model).is_dir():
        file = _cached_config(model) if re.fullmatch(HUB_ID, model) else None
    if file is None or not Path(file).is_file():
        return {}
    found: dict[str, Any] = json.loads(Path(file).read_text("utf-8"))
    return found


def same_weights(model: str, other: str) -> bool:
    """Whether two models, folders or ids on the hub, have the same weights, whatever else lies beside them."""
    if Path(model).is_dir() and Path(other).is_dir():
        return _weights_digest(model) == _weights_digest(other)
    return model == other


def fingerprint(model: str) -> str:
    """An identifier of the model's content: the id on the hub unchanged, or a hash over a folder's files.

    Small files are hashed whole, weights by their length, first and last megabyte: training changes weights everywhere,
    and reading a whole 7B model would take longer than starting it.
    """
    if not Path(model).is_dir():
        return model
    small = [file for file in folders.files(model) if Path(file).suffix in SMALL]
    return digests.digest(small) + _weights_digest(model)


def _weights_digest(folder: str) -> str:
    return digests.digest(folders.files(folder, ".safetensors"), ends=MEGABYTE)
