"""MMD by hand, and its resamples by drawing them."""

from __future__ import annotations

import numpy as np
import pytest

from p2i_ray.evaluate.metrics import bootstrap, mmd
from p2i_ray.evaluate.metrics.batch import Features


def product(x: Features, y: Features) -> Features:
    return x @ y.T


def test_by_hand() -> None:
    """Five 1 and 3, five 0 and 4, k = xy: (20^2 - 50) / 90 + (20^2 - 80) / 90 - 2 * 2 * 2; biased 4 + 4 - 8."""
    x, y = np.array([[1.0], [3.0]] * 5), np.array([[0.0], [4.0]] * 5)
    assert mmd.squared(x, y, product)[0] == pytest.approx(35 / 9 + 32 / 9 - 8)
    assert mmd.squared(x, y, product, biased=True)[0] == pytest.approx(0, abs=1e-12)


def test_a_resample_is_the_figure_of_the_drawn_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)), rng.normal(size=(10, 3))
    found = mmd.squared(x, y, product, biased=True)
    drawn = [bootstrap.weights(len(side), number)[5].astype(int) for number, side in enumerate((x, y))]
    again = mmd.squared(x.repeat(drawn[0], axis=0), y.repeat(drawn[1], axis=0), product, biased=True)
    assert found[5] == pytest.approx(again[0])
    monkeypatch.setattr(mmd, "BLOCK", 4)  # in pieces as in one
    assert mmd.squared(x, y, product, biased=True) == pytest.approx(found)
    whole = mmd.squared(x, y, product)
    monkeypatch.undo()
    assert mmd.squared(x, y, product) == pytest.approx(whole)


def test_a_picture_is_not_paired_with_itself_in_a_resample() -> None:
    x = np.eye(12)  # orthogonal: any pair of two pictures has 0
    drawn = bootstrap.weights(12)
    assert mmd.mean_within(x, product, drawn) == pytest.approx(0)
