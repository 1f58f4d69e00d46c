"""Similarity of backgrounds: of scenes alike and different, without the products."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from p2i_ray.generators.request import Reference
from p2i_ray.mini.world import CLEAN, render
from p2i_ray.serve.sampler.style import StyleEncoder

CLIP = Path(__file__).parents[3] / "p2i_ray" / "mini" / "weights" / "evaluator_clip"


@pytest.fixture(scope="module")
def styles() -> StyleEncoder:
    return StyleEncoder(str(CLIP), "cpu")


def test_the_same_background_is_the_most_alike_and_products_do_not_count(styles: StyleEncoder) -> None:
    sample, others = render(3, 1, CLEAN), [render(3, number, CLEAN).image for number in range(2, 6)]
    found = styles.similarity([sample.image, *others], sample.mask, Reference(sample.image, sample.mask))
    assert found[0] == pytest.approx(1, abs=1e-5) and max(found[1:]) < 1 - 1e-4
    assert all(-1 <= one <= 1 for one in found)
    painted = sample.image.copy()
    painted[sample.mask == 255] = (255, 0, 255)
    assert styles.similarity([painted], sample.mask, Reference(sample.image, sample.mask)) == pytest.approx([1])
    whole = styles.similarity([sample.image], np.zeros_like(sample.mask), Reference(sample.image))
    assert whole == pytest.approx([1])
