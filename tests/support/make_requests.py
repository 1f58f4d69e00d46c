"""Requests of the toy world, and the diffusion model of the mini preset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.mini.world import CLEAN, render

WEIGHTS = Path(__file__).parents[2] / "p2i_ray" / "mini" / "weights"
DIFFUSION = DiffusionConfig(base=str(WEIGHTS / "diffusion"), clip=str(WEIGHTS / "diffusion_clip"))


def make_request(number: int, **changes: Any) -> PaintRequest:
    """The request for one product: by default three steps with guidance."""
    sample = render(77, number, CLEAN)
    how = {"name": sample.name, "seed": number, "steps": 3, "guidance": 3.0, **changes}
    return PaintRequest(product=sample.image, mask=sample.mask, **how)


def brighter(folder: Path) -> None:
    """Change a model folder's weights so that all its images are brighter; the files are replaced, as by a copy."""
    from safetensors.torch import load_file, save_file

    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights = {name: value.clone() for name, value in load_file(file).items()}
    weights["decoder.conv_out.bias"] += 0.2
    file.unlink()
    save_file(weights, file)
