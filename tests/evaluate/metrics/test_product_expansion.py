"""The expansion of rows, with a cutter that is told what it finds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from p2i_ray.data.cutouts.cutter import Cut
from p2i_ray.data.errors import ImageError
from p2i_ray.data.images import Pixels
from p2i_ray.evaluate.metrics.batch import Batch, MeasuredImages
from p2i_ray.evaluate.metrics.metric import PictureMean
from p2i_ray.evaluate.metrics.product_expansion import by


class WhiteCutter:
    """Finds what is white."""

    kind = "white"

    def cut(self, photos: Sequence[Pixels]) -> list[Cut | ImageError]:
        return [Cut(photo[..., 0], None) if photo.any() else ImageError("nothing is white") for photo in photos]


def test_rows_in_which_nothing_is_found_are_left_out_and_counted() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[5:15, 5:10] = 255
    rows = []
    for columns in (0, 3, None):  # beyond the mask, of which one is the margin
        picture = np.zeros((20, 20, 3), np.uint8)
        if columns is not None:
            picture[5:15, 5 : 10 + columns] = 255
        rows.append(MeasuredImages(picture=picture, product=picture, background=picture, cutout=picture, mask=mask))
    metric = PictureMean("product_expansion", by(WhiteCutter()))
    metric.add_generated(Batch([one.picture for one in rows], None, rows))  # type: ignore[arg-type]
    found = metric.figures()
    assert found["product_expansion"] == pytest.approx((0 + 20 / 50) / 2)
    assert found["product_expansion_left_out"] == 1
