from __future__ import annotations

import numpy as np
import pytest

from p2i_ray.compositing.scene_light import light_side

MASK = np.zeros((120, 160), np.uint8)
MASK[40:100, 60:100] = 255


def lit(right: float, texture: float = 0.0) -> np.ndarray:
    """A scene whose light grows by a factor exp(right) from left to right, with texture."""
    rng = np.random.default_rng(0)
    light = 0.25 * np.exp(right * (np.arange(160) / 160 - 0.5))[None, :] * np.exp(texture * rng.normal(size=(120, 160)))
    picture = np.broadcast_to((255 * light.clip(0, 1) ** (1 / 2.2))[..., None], (120, 160, 3)).astype(np.uint8).copy()
    picture[MASK > 0] = (255, 0, 0)  # the product says nothing of the scene's light
    return picture


@pytest.mark.parametrize(
    ("right", "side"), [(0.7, 0.7), (-0.7, -0.7), (2.5, 1.0), (-2.5, -1.0), (0.0, 0.0), (0.2, 0.0)]
)
def test_the_brighter_side_is_where_the_light_comes_from(right: float, side: float) -> None:
    assert light_side(lit(right), MASK) == pytest.approx(side, abs=0.05)
    assert light_side(lit(right, texture=0.3), MASK) == pytest.approx(side, abs=0.15)


def test_texture_alone_has_no_side() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (120, 160, 3), np.uint8)
    assert light_side(noise, MASK) == 0
    assert light_side(np.zeros((120, 160, 3), np.uint8), MASK) == 0


def test_halves_that_disagree_have_none() -> None:
    picture = lit(1.5)
    picture[60:] = picture[60:, ::-1]
    assert light_side(picture, MASK) == 0


def test_a_product_that_hides_the_scene_leaves_it_unknown() -> None:
    mask = np.full((120, 160), 255, np.uint8)
    mask[:, :40] = 0
    assert light_side(lit(2.0), mask) == 0
