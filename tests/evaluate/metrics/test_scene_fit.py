"""Scene fit: by hand, and of the toy world's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from p2i_ray.config import Config, loading
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.sampling.generate import schema
from p2i_ray.errors import UserError
from p2i_ray.evaluate.measure import MetricSet
from p2i_ray.evaluate.metrics import scene_fit
from p2i_ray.evaluate.metrics.scenes import Scenes
from p2i_ray.mini.data import row
from p2i_ray.mini.world import CLEAN, PLAIN, RIGHT_SCENE, Sample, render

ROOT = Path(__file__).parents[3]


class Plane:
    """Texts as directions in the plane, in degrees, of any length."""

    logit_scale = torch.tensor(0.0)

    def embed(self, pictures: Sequence[Pixels]) -> Tensor:
        raise NotImplementedError

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        turned = torch.tensor([float(text) for text in texts]).deg2rad()
        return torch.stack([turned.cos(), turned.sin()], dim=1) * torch.arange(1, 1 + len(texts))[:, None]


def test_the_nearest_scene_by_hand() -> None:
    """Of 0 and 60 degrees the mean of the directions is 30 degrees, however long the features are."""
    scenes = scene_fit.features_of(Plane(), {"right": ["0", "60"], "up": ["100"]})
    assert scenes["right"] == pytest.approx([np.cos(np.pi / 6), 0.5], abs=1e-6)
    seen = np.array([[5.0, 5.0], [0.01, 0.05], [0.0, 3.0], [3.0, 0.0]])  # 45, 79, 90 and 0 degrees
    assert scene_fit.recognised(seen, scenes) == ["right", "up", "up", "right"]


def rows(samples: Sequence[Sample], categories: Sequence[str]) -> pa.Table:
    found = [{**row(sample), "category": one, "error": None} for sample, one in zip(samples, categories, strict=True)]
    return pa.Table.from_pylist(found, schema())


def test_the_toy_worlds_pictures_suit_their_own_categories_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    mini = loading.load(Config, "mini")
    samples = [render(4242, i, CLEAN) for i in range(32)]
    others = [next(c for c in RIGHT_SCENE if RIGHT_SCENE[c] != sample.scene) for sample in samples]
    running = MetricSet(mini.evaluate, mini.image, ("scene_fit",))
    running.add_generated(rows(samples[:24], [sample.category for sample in samples[:24]]))
    running.add_generated(rows(samples[24:], others[24:]))
    found = running.figures()
    assert found["scene_fit"] == 24 / 32
    assert found["scene_fit_low"] < 24 / 32 < found["scene_fit_high"]


def test_a_category_that_the_file_lacks_is_no_zero() -> None:
    scenes = Scenes(scenes={"beach": ["0"], PLAIN: ["90"]}, suits={"sunscreen": ["beach"]})
    values = scene_fit.by(Plane(), scenes, "s.yaml")

    class Rows:
        rows = (type("Row", (), {"category": "tent"}),)
        background_clip = np.array([[1.0, 0.0]])

    with pytest.raises(UserError, match=r"s\.yaml has no entry in suits for the data's 'tent'"):
        values(Rows())  # type: ignore[arg-type]
