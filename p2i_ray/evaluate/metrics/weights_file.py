"""One file of weights that is no model folder: safetensors, or pickled by torch with a checksum that vouches for it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from p2i_ray.encoders import weight_files
from p2i_ray.errors import UserError
from p2i_ray.storage import digests, locations


def check(location: str, sha256: str | None, setting: str) -> None:
    """Check that a file is there and may be opened; it is read only where there is a checksum to compare.

    Args:
        location: a path or URI.
        sha256: its checksum in hexadecimal digits; none: it is not compared.
        setting: name of the setting that has the location, for messages; the checksum's is SETTING_sha256.

    Raises:
        UserError: it is not there, is pickled and has no checksum, or has another.
    """
    if locations.kind(location) != "file":
        raise UserError(f"{setting}={location} is not there, or is no file; check the path")
    if not location.endswith(".safetensors") and not sha256:
        raise UserError(
            f"{setting}={location} is no safetensors file; set {setting}_sha256 to the SHA-256 that its source states"
        )
    if sha256 and (found := digests.sha256(location)[0]) != sha256.lower():
        raise UserError(f"{setting}={location} has the SHA-256 {found}, not {sha256}; fetch it again")


def read(location: str, sha256: str | None, setting: str) -> dict[str, Tensor]:
    """The tensors of a file by name, float32, on the CPU. Of a pickled one tensors alone are read (weights_only).

    Args:
        location: a path or URI.
        sha256: see `check`.
        setting: see `check`.

    Raises:
        UserError: as `check`; its content can't be read.
    """
    check(location, sha256, setting)
    content = locations.read_bytes(location)
    if location.endswith(".safetensors"):
        try:
            tensors: Mapping[str, Any] = load(content)
        except SafetensorError:
            raise UserError(f"{setting}={location} is no safetensors file, or is cut short; fetch it again") from None
    else:
        tensors = weight_files.innermost(unpickled(io.BytesIO(content), f"{setting}={location}"))
    return {name: value.float() for name, value in tensors.items() if isinstance(value, Tensor)}


def unpickled(file: Path | IO[bytes], source: str) -> Any:
    """The content of a pickled file that holds tensors alone (weights_only).

    Raises:
        UserError: it holds more, or can't be read.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{source} can't be read: {error.strerror or error}") from None
    except Exception as error:  # torch names no class for all that a damaged file, or one with code in it, leads to
        raise UserError(
            f"{source} is damaged, or holds more than tensors, which is not opened; fetch it again"
        ) from error
