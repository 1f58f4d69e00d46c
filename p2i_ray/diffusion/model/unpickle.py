"""Turn one file of pickled weights into safetensors: `python -m p2i_ray.diffusion.model.unpickle FROM TO`.

A process of its own, so that whatever a damaged or malicious file does to the reader ends with it. torch reads tensors
alone (weights_only); a file that holds anything else is refused.
"""

from __future__ import annotations

import pathlib
import pickle
import sys

from p2i_ray.encoders import weight_files

FAILED = 3  # exit code; a line on standard error says why
NOT_WRITTEN = 4  # the same, of the file to write


def convert(source: str, target: str) -> int:
    """Write the tensors of a pickled file as safetensors; returns an exit code."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    if _is_safetensors(source):
        print("it is a safetensors file under another name: give it that ending", file=sys.stderr)
        return FAILED
    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        print(_reason(error), file=sys.stderr)
        return FAILED
    tensors = {name: value for name, value in weight_files.innermost(loaded).items() if isinstance(value, torch.Tensor)}
    if not tensors:
        print("it holds no tensors", file=sys.stderr)
        return FAILED
    # Tensors that share memory are written once each: safetensors knows no sharing.
    copies = {name: value.contiguous().clone() for name, value in tensors.items()}
    try:
        save_file(copies, target, metadata={"format": "pt"})
    except (OSError, SafetensorError) as error:
        print(error, file=sys.stderr)
        return NOT_WRITTEN
    return 0


def _is_safetensors(source: str) -> bool:
    with pathlib.Path(source).open("rb") as file:
        return file.read(9)[8:] == b"{"  # after the header's length: no pickle and no zip archive begins so


def _reason(error: Exception) -> str:
    if "weights only" in str(error).lower().replace("_", " "):
        return "it holds more than tensors, which could run code when it is opened"
    if isinstance(error, OSError):
        return f"it can't be read: {error.strerror or error}"
    return "it is no file that torch wrote, or is cut short"


if __name__ == "__main__":
    sys.exit(convert(*sys.argv[1:3]))
