"""Folders of generators for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.model import loading
from p2i_ray.generators import folder
from tests.support.make_generators import SETTINGS, make_generators


@pytest.fixture
def saved(tiny_painter: DiffusionConfig, tmp_path: Path) -> dict[str, str]:
    """Folders of both generators."""
    parts = loading.load(tiny_painter.base, tiny_painter)
    settings = SETTINGS.model_copy(update={"masked": "all"})
    found = {}
    for kind, generator in make_generators(parts, settings=settings).items():
        found[kind] = str(tmp_path / kind)
        folder.save(generator, found[kind], made_from=tiny_painter.base)
    return found
