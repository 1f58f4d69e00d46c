"""What a safetensors file holds, from its header alone, on a disk or in a bucket: nothing heavy is read or imported."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from p2i_ray.errors import UserError
from p2i_ray.storage import locations

LENGTH_BYTES = 8  # before the header, little endian
LONGEST = 100_000_000  # bytes of a header: the format's own limit
LFS = b"version https://git-lfs.github.com/spec/"
AGAIN = "fetch the file again"


class Tensor(NamedTuple):
    """A tensor as the header states it: the format's name of its type (F32, F16, BF16 …), and its shape."""

    dtype: str
    shape: tuple[int, ...]


def read(location: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name.

    Raises:
        UserError: it is no such file, or not as long as its header says; the line says which and what to do.
    """
    filesystem, path = locations.open_location(location)
    size = int(filesystem.info(path)["size"])
    with filesystem.open(path, "rb") as file:
        head = file.read(LENGTH_BYTES)
        length = int.from_bytes(head, "little")
        if len(head) < LENGTH_BYTES or length > LONGEST:
            raise UserError(_complaint(location, head + file.read(len(LFS))))
        text = file.read(length)
    if len(text) < length:
        raise UserError(f"{location} is cut short: {size} bytes, and its header alone has {length}; {AGAIN}")
    tensors, end = _parse(location, text)
    if size != (expected := LENGTH_BYTES + length + end):
        told = "is cut short" if size < expected else "has more than its header says"
        raise UserError(f"{location} {told}: {size} of {expected} bytes; {AGAIN}")
    return tensors


def _parse(location: str, text: bytes) -> tuple[dict[str, Tensor], int]:
    """The tensors, and the number of bytes after the header."""
    try:
        entries: dict[str, Any] = json.loads(text)
        entries.pop("__metadata__", None)
        tensors = {name: Tensor(entry["dtype"], tuple(entry["shape"])) for name, entry in entries.items()}
        end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise UserError(f"{location} is no safetensors file: its header can't be read; {AGAIN}") from None
    return tensors, end


def _complaint(location: str, head: bytes) -> str:
    if head.startswith(LFS[: len(head)]) and len(head) > LENGTH_BYTES:
        return f"{location} is a Git LFS pointer, not the weights; run git lfs pull in the folder that it came with"
    if not head:
        return f"{location} is empty; {AGAIN}"
    return f"{location} is no safetensors file; {AGAIN}, or convert it: python jobs/convert.py"
