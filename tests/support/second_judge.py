"""A held-out judge for the toy world, which has one judge only: that judge, with a little noise on its weights.

It is another model by its fingerprint, not an independent one: it errs where the toy judge errs.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

WEIGHTS = "model.safetensors"


def make(folder: Path, judge: Path, seed: int = 0, noise: float = 0.02) -> str:
    """Write the folder of a second judge and return its location.

    Args:
        folder: where; it is made.
        judge: folder of the toy judge.
        seed: of the noise.
        noise: its standard deviation, as a fraction of each tensor's own.
    """
    shutil.copytree(judge, folder)
    random = torch.Generator().manual_seed(seed)
    weights = load_file(judge / WEIGHTS)
    for name, tensor in weights.items():
        if tensor.numel() > 1:
            shift = torch.randn(tensor.shape, generator=random) * tensor.float().std() * noise
            weights[name] = (tensor.float() + shift).to(tensor.dtype)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    return str(folder)
