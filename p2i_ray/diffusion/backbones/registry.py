"""The backbone of a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p2i_ray.diffusion.backbones import families
from p2i_ray.diffusion.backbones.backbone import Backbone
from p2i_ray.diffusion.backbones.families import Family
from p2i_ray.diffusion.backbones.stable_diffusion import StableDiffusion
from p2i_ray.diffusion.backbones.stable_diffusion_xl import StableDiffusionXL


def of(family: Family, index: Mapping[str, Any]) -> Backbone:
    """The backbone of a family.

    Args:
        family: of the folder.
        index: its model_index.json; empty where it has none.
    """
    if family is families.STABLE_DIFFUSION_XL:
        return StableDiffusionXL(zeros_for_empty=bool(index.get("force_zeros_for_empty_prompt", True)))
    return StableDiffusion()
