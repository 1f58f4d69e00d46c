"""A round of training that leaves random weights behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.model import export
from tests.support.make_batch import make_model


def write_round(
    diffusion: DiffusionConfig, base: Path | str, out: Path, number: int, *, moved: float = 0.2, **settings: Any
) -> Path:
    """Write the model of a round that starts from `base`; what learns is moved by noise of this deviation."""
    _, model = make_model(diffusion.model_copy(update={"base": str(base)}), **settings)
    torch.manual_seed(number)
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    weights = {name: p.detach() + moved * torch.randn_like(p) for name, p in learning.items()}
    trained = export.Trained(base=str(base), diffusion=diffusion, settings=model.settings, weights=weights)
    export.write(trained, {}, str(out))
    return out
