"""The resize against the filter written out."""

from __future__ import annotations

import numpy as np
import pytest

from p2i_ray.evaluate.metrics.clean_resize import bicubic
from tests.support.generated_rows import picture


def weights(given: int, side: int) -> np.ndarray:
    """Rows of Keys' cubic (a = -0.5), as wide as the pixels that fall into one: (side, given)."""
    scale = given / side
    wide = max(scale, 1)
    centre = (np.arange(side)[:, None] + 0.5) * scale
    far = np.abs((np.arange(given) + 0.5 - centre) / wide)
    near = 1.5 * far**3 - 2.5 * far**2 + 1
    tail = -0.5 * far**3 + 2.5 * far**2 - 4 * far + 2
    found = np.where(far < 1, near, np.where(far < 2, tail, 0))
    return found / found.sum(1, keepdims=True)


@pytest.mark.parametrize("shape", [(32, 32, 3), (9, 13, 3), (40, 21, 3)])
def test_by_the_filter(shape: tuple[int, ...]) -> None:
    pixels = picture(3, shape)
    (found,) = bicubic([pixels], 17)
    expected = np.einsum("yh,hwc,xw->cyx", weights(shape[0], 17), pixels.astype(float), weights(shape[1], 17))
    assert found.shape == (3, 17, 17)
    assert found == pytest.approx(expected.clip(0, 255), abs=1e-3)
    assert (found != found.round()).any()


def test_a_picture_of_the_size_is_as_it_was() -> None:
    assert (bicubic([picture(1, (17, 17, 3))], 17)[0] == picture(1, (17, 17, 3)).transpose(2, 0, 1)).all()
