"""Where labels go."""

from __future__ import annotations

import math

import numpy as np

from p2i_ray.evaluate.label_places import NEAREST, Size, places


def test_a_label_alone_lies_beside_its_point() -> None:
    [at] = places(np.array([[10.0, 20.0]]), [Size(4, 2)], radius=3)
    angle = math.pi / 16
    reach = 3 + NEAREST + 2 * math.cos(angle) + math.sin(angle)
    np.testing.assert_allclose(at, [10 + reach * math.cos(angle), 20 + reach * math.sin(angle)])


def test_labels_of_points_on_one_spot_lie_apart_and_beside_the_marks() -> None:
    points = np.array([[0.0, 0.0], [0.5, 0.0], [0.0, 0.5], [0.2, 0.2], [100.0, 0.0]])
    sizes, radius = [Size(30, 8)] * 5, 6
    found = places(points, sizes, radius)
    for one in range(5):
        assert (np.abs(points - found[one]) >= [15 + radius, 4 + radius]).any(axis=1).all()
        for other in range(one):
            across, up = np.abs(found[one] - found[other])
            assert across >= 30 or up >= 8
    assert np.abs(found[4] - points[4]).max() < 30  # which has room beside it
