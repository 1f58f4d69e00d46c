"""CIEDE2000 against published test pairs and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from p2i_ray.evaluate.metrics.colour_difference import ciede2000, lab

# Of the 34 pairs of Sharma, Wu and Dalal (2005): those that take each branch of the formula.
PAIRS = [
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, -1.1848, -84.8006), (50, 0, -82.7485), 1.0000),
    ((50, 0, 0), (50, -1, 2), 2.3669),
    ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
    ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
    ((50, -0.001, 2.49), (50, 0.0011, -2.49), 4.7461),
    ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((50, 2.5, 0), (56, -27, -3), 31.9030),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("one", "other", "expected"), PAIRS)
def test_published_pairs(one: tuple[float, ...], other: tuple[float, ...], expected: float) -> None:
    assert ciede2000(np.array(one), np.array(other)) == pytest.approx(expected, abs=5e-5)
    assert ciede2000(np.array(other), np.array(one)) == pytest.approx(expected, abs=5e-5)


def test_as_scikit_image() -> None:
    one, other = np.random.default_rng(0).integers(0, 256, (2, 500, 3), dtype=np.uint8)
    other[:20] = other[:20, :1]  # greys
    assert lab(one) == pytest.approx(rgb2lab(one), abs=5e-4)  # which rounds the standard's constants
    assert ciede2000(lab(one), lab(other)) == pytest.approx(deltaE_ciede2000(lab(one), lab(other)), rel=1e-9)
    assert ciede2000(lab(one), lab(other)) == pytest.approx(deltaE_ciede2000(rgb2lab(one), rgb2lab(other)), rel=1e-4)


def test_black_against_white() -> None:
    black, white = lab(np.zeros(3, np.uint8)), lab(np.full(3, 255, np.uint8))
    assert ciede2000(black, white) == pytest.approx(100, abs=1e-3)
    assert ciede2000(white, white) == 0
