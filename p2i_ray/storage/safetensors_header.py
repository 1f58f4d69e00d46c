"""Read a safetensors file's header alone, on a disk or in a bucket: nothing heavy is read or imported."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from p2i_ray.errors import UserError
from p2i_ray.storage import locations

LENGTH_BYTES = 8  # before the header, little endian
LONGEST = 100_000_000  # bytes of a header: the format's own limit
LFS = b"version https://git-lfs.github.com/spec/"
AGAIN = "fetch the file again"
NUMBERS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


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


def read_rows(location: str, name: str, rows: range) -> NDArray[np.float32]:
    """Rows of one of the tensors of a file that `read` takes, (n, …), without reading the others.

    Args:
        location: of the file.
        name: of the tensor, whose type is F64, F32, F16 or BF16.
        rows: consecutive places along its first axis.
    """
    filesystem, path = locations.open_location(location)
    with filesystem.open(path, "rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        entry = json.loads(file.read(length))[name]
        kind = np.dtype(NUMBERS[entry["dtype"]])
        shape = (len(rows), *entry["shape"][1:])
        a_row = kind.itemsize * math.prod(shape[1:])
        file.seek(LENGTH_BYTES + length + entry["data_offsets"][0] + rows.start * a_row)
        values = np.frombuffer(file.read(len(rows) * a_row), kind)
    if entry["dtype"] == "BF16":  # the upper half of a float32
        values = (values.astype("<u4") << 16).view("<f4")
    return values.astype(np.float32).reshape(shape)


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
