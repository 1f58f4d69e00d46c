"""The files that hold a part's weights: one or several, in full precision or as a variant (fp16), safetensors only."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from p2i_ray.errors import UserError
from p2i_ray.storage import digests, folders, locations, safetensors_header
from p2i_ray.storage.safetensors_header import Tensor

DIFFUSERS = "diffusion_pytorch_model"  # the name of weights as diffusers saves them
TRANSFORMERS = "model"  # and transformers
VARIANTS = (None, "fp16", "bf16")  # in the order of preference; none: the files without a variant's name
PICKLED = (".bin", ".ckpt", ".pt", ".pth")
LORA = "pytorch_lora_weights.safetensors"
LORA_PART = re.compile(r"(^|[._])lora[._]")  # in the names of a LoRA's tensors, whichever program wrote it
ENDS = 1 << 20  # bytes at both ends of a file that tell weights apart
NESTED = ("state_dict", "model", "module")  # under which training programs keep the weights


@dataclass(frozen=True)
class Weights:
    """The files of a folder that are a part's weights.

    Attributes:
        variant: as from_pretrained takes it; none: the files without a variant's name.
        files: their locations, sorted; several if the weights are sharded.
        listed: of sharded weights the tensors' names by the location of their file.
    """

    variant: str | None
    files: tuple[str, ...]
    listed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors, from the files' headers.

        Raises:
            UserError: a file is no safetensors file, is cut short, or lacks what the index lists.
        """
        found: dict[str, Tensor] = {}
        for file in self.files:
            own = safetensors_header.read(file)
            if absent := [name for name in self.listed.get(file, ()) if name not in own]:
                raise UserError(f"{file} has no {absent[0]}, which the index lists; fetch the file again")
            found |= own
        return found

    def rows(self, name: str, rows: range) -> NDArray[np.float32]:
        """Consecutive rows of one of the tensors, (n, …)."""
        file = next(file for file in self.files if name in safetensors_header.read(file))
        return safetensors_header.read_rows(file, name, rows)


def find(location: str, name: str, *, setting: str | None = None) -> Weights:
    """Find the weights of a part.

    Args:
        location: of the part's folder.
        name: the files' name before variant, number and ending: `DIFFUSERS` or `TRANSFORMERS`.
        setting: name of the setting that has the folder, for messages.

    Raises:
        UserError: there are none, pickled ones only, or not all that an index lists.
    """
    names = folders.names(location)
    for variant in VARIANTS:
        dotted = f".{variant}" if variant else ""
        if (single := f"{name}{dotted}.safetensors") in names:
            return Weights(variant, (locations.join(location, single),))
        if (index := f"{name}.safetensors.index{dotted}.json") in names:
            return _sharded(location, index, names, variant)
    raise UserError(_complaint(f"{setting}={location}" if setting else location, names, f"{name}.safetensors"))


def same(location: str, other: str, name: str) -> bool:
    """Whether two folders' weights are the same, by the names, sizes and both ends of their files.

    Args:
        location: of a part's folder.
        other: of another one.
        name: as in `find`.
    """
    try:
        one, two = (digests.digest(find(folder, name).files, ends=ENDS) for folder in (location, other))
    except UserError:  # what is wrong with a folder is said where it is read
        return False
    return one == two


def is_lora(location: str) -> bool:
    """Whether a file holds a LoRA, by its name or by those of its tensors."""
    if posixpath.basename(location) == LORA:
        return True
    try:
        return location.endswith(".safetensors") and any(map(LORA_PART.search, safetensors_header.read(location)))
    except UserError:  # what is wrong with the file is said where it is read
        return False


def innermost(loaded: object) -> Mapping[str, object]:
    """The weights in what a training program saved: the mapping within mappings, by the names that they give it."""
    while isinstance(loaded, Mapping):
        inner = next((loaded[key] for key in NESTED if isinstance(loaded.get(key), Mapping)), None)
        if inner is None:
            return loaded
        loaded = inner
    return {}


def _sharded(location: str, index: str, names: list[str], variant: str | None) -> Weights:
    try:
        files: dict[str, str] = json.loads(locations.read_text(locations.join(location, index)))["weight_map"]
        wanted = sorted(set(files.values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{locations.join(location, index)} is no index of weights; fetch it again") from None
    if absent := [name for name in wanted if name not in names]:
        raise UserError(
            f"{location} has {len(wanted) - len(absent)} of {len(wanted)} files that {index} lists; "
            f"fetch {absent[0]} {'and the others' if len(absent) > 1 else ''}".rstrip()
        )
    listed = {
        locations.join(location, name): tuple(key for key, file in files.items() if file == name) for name in wanted
    }
    return Weights(variant, tuple(listed), listed)


def _complaint(folder: str, names: list[str], wanted: str) -> str:
    others = [name for name in names if name.endswith(".safetensors")]
    if LORA in others:
        return f"{folder} holds a LoRA ({LORA}), no model; give the model that it was trained on"
    if pickled := [name for name in names if name.endswith(PICKLED)]:
        return f"{folder} has pickled weights only ({pickled[0]}); convert them: python jobs/convert.py in=… out=…"
    if others:
        return f"{folder} has {others[0]}, but no {wanted}; rename it if it is these weights"
    return f"{folder} has no *.safetensors weights ({wanted}); check that the folder is complete"
