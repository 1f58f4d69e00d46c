"""Folders of generators of random weights beside the mini preset's model."""

from __future__ import annotations

from pathlib import Path

from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.generators import folder
from p2i_ray.generators.base import load_base
from tests.support.make_generators import BOTH, SETTINGS, make_generators
from tests.support.make_requests import DIFFUSION


def make_folders(out: Path, kinds: tuple[str, ...] = BOTH) -> GeneratorsConfig:
    """Write them; the settings that name them."""
    parts = load_base(DIFFUSION.base, DIFFUSION, SETTINGS)
    places = {}
    for kind, generator in make_generators(parts, kinds, noise=0.1).items():
        places[kind] = str(out / kind)
        folder.save(generator, places[kind], made_from=DIFFUSION.base)
    return SETTINGS.model_copy(update=places)
