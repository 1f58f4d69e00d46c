"""The toy world's captions: the file of scenes that the mini preset names."""

from __future__ import annotations

from pathlib import Path

from p2i_ray.evaluate.metrics import scenes
from p2i_ray.mini.captions import scene_fit_file
from p2i_ray.mini.world import CATEGORIES


def test_the_file_of_scenes_is_the_worlds() -> None:
    location = str(Path(__file__).parents[2] / "p2i_ray" / "mini" / "scenes.yaml")
    found = scenes.read(location)
    assert found.model_dump() == scene_fit_file()
    scenes.check_categories(found, location, CATEGORIES)
