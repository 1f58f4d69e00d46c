"""Product expansion: how far the generated picture continues the product beyond its mask.

A cutter looks for the product in the generated picture; see product_truth.expansion for the figure. Where it finds none
the row is left out and counted: `product_expansion_left_out`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.cutouts.cutter import Cutter
from p2i_ray.data.errors import ImageError
from p2i_ray.evaluate.metrics import product_truth
from p2i_ray.evaluate.metrics.batch import Batch


def by(cutter: Cutter) -> Callable[[Batch], NDArray[np.float64]]:
    """A function that gives each of B rows its expansion, (B,), 0 or more; NaN where the cutter finds no product."""

    def values(batch: Batch) -> NDArray[np.float64]:
        cuts = cutter.cut(batch.pictures)
        return np.array(
            [
                float("nan") if isinstance(cut, ImageError) else product_truth.expansion(cut.mask, row.mask)
                for cut, row in zip(cuts, batch.rows, strict=True)
            ]
        )

    return values
