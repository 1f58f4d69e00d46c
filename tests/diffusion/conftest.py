"""Tiny random models of the real architectures: these tests don't depend on how well anything was trained."""

from __future__ import annotations

import pytest
from tiny_models import build_painter

from p2i_ray.config import PainterConfig


@pytest.fixture(scope="session")
def tiny_painter(tmp_path_factory: pytest.TempPathFactory) -> PainterConfig:
    """Folders of a 9-channel inpainting model and of the CLIP whose text tower it has."""
    folder = tmp_path_factory.mktemp("painter")
    build_painter(folder / "base", folder / "clip")
    return PainterConfig(base=str(folder / "base"), clip=str(folder / "clip"))


@pytest.fixture(scope="session")
def plain_painter(tmp_path_factory: pytest.TempPathFactory) -> PainterConfig:
    """The same with a 4-channel model, which is to be widened."""
    folder = tmp_path_factory.mktemp("plain_painter")
    build_painter(folder / "base", folder / "clip", channels=4)
    return PainterConfig(base=str(folder / "base"), clip=str(folder / "clip"), widen=True)
