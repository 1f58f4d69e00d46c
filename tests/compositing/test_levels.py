from __future__ import annotations

import numpy as np

from p2i_ray.compositing.levels import LINEAR, encoded, luminance


def test_levels_become_light_and_back() -> None:
    np.testing.assert_allclose(encoded(LINEAR), np.arange(256), atol=1e-4)
    assert LINEAR[0] == 0 and LINEAR[255] == 1 and abs(LINEAR[188] - 0.5) < 0.005  # 188 is the middle grey of light


def test_luminance_by_hand() -> None:
    picture = np.array([[[255, 255, 255], [0, 255, 0], [0, 0, 0]]], np.uint8)
    np.testing.assert_allclose(luminance(picture), [[1, 0.7152, 0]], atol=1e-6)
