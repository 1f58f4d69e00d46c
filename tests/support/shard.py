"""Weights in several files with an index, as diffusers and transformers save large models."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file, save_file


def shard(path: Path, name: str, variant: str | None = None) -> None:
    """Replace a file of weights by two and an index.

    Args:
        path: of the file.
        name: of the weights, without variant and ending.
        variant: that the new files are named with.
    """
    state, dotted = load_file(path), f".{variant}" if variant else ""
    keys = sorted(state)
    files: dict[str, str] = {}
    for number, half in enumerate((keys[: len(keys) // 2], keys[len(keys) // 2 :]), 1):
        file = f"{name}{dotted}-{number:05}-of-00002.safetensors"
        save_file({key: state[key] for key in half}, path.with_name(file), metadata={"format": "pt"})
        files |= dict.fromkeys(half, file)
    path.unlink()
    index = {"metadata": {"total_size": sum(value.nbytes for value in state.values())}, "weight_map": files}
    path.with_name(f"{name}.safetensors.index{dotted}.json").write_text(json.dumps(index))
