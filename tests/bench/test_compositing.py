"""What the benchmark of compositing says of pictures whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest

from bench import compositing
from bench.compositing_scenes import Placed
from p2i_ray.config.compositing import CompositingConfig


def standing(product: int = 128, scene: int = 128) -> Placed:
    mask = np.zeros((96, 96), np.uint8)
    mask[30:80, 30:66] = 255
    behind = np.full((96, 96, 3), scene, np.uint8)
    picture = np.where(mask[..., None] > 0, np.uint8(product), behind)
    return Placed(name="box", picture=picture, product=picture, mask=mask, scene=behind)


def test_what_is_left_alone_is_faithful() -> None:
    found = compositing.figures(standing(), CompositingConfig())
    assert found == pytest.approx((0, 1, 0, 0, 0, 0), abs=1e-9)


def test_a_shadow_raises_the_seam_alone() -> None:
    found = compositing.figures(standing(), CompositingConfig(shadow=0.6))
    assert (found.colour, found.unchanged, found.shadow) == (0, 1, 0.6) and found.seam > 1


def test_light_brings_the_rim_nearer_and_costs_fidelity() -> None:
    one = standing(product=100)
    off = compositing.figures(one, CompositingConfig())
    lit = compositing.figures(one, CompositingConfig(light="whole", light_strength=1, max_colour_difference=3))
    assert off.rim - lit.rim == pytest.approx(lit.colour, abs=0.3) and 2 < lit.colour <= 3 and lit.unchanged == 0


@pytest.mark.parametrize(("drawn", "mean"), [("levels", 128), ("light", 188)])
def test_a_half_covered_pixel_is_mixed_by_levels_or_by_light(drawn: str, mean: int) -> None:
    fine = np.zeros((4, 4, 4), np.uint8)
    fine[:, :2] = (0, 0, 0, 255)
    shot = compositing._shot(fine, np.full((1, 1, 3), 255, np.uint8), drawn)
    assert shot.tolist() == [[[mean] * 3]]
