"""Similarity to what was wanted, over rows as they are read: by hand from CLIP's own answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from p2i_ray.config import EvaluateConfig, ImageConfig
from p2i_ray.data.images import Pixels
from p2i_ray.data.schema import REFERENCES
from p2i_ray.diffusion.sampling.generate import schema
from p2i_ray.evaluate import catalogue
from p2i_ray.evaluate.measure import MetricSet
from tests.support.generated_rows import generated, mask, picture, png

COLUMNS = pa.schema([*(schema().field(name) for name in ("id", "category", "image", "cutout")), *REFERENCES])
NAMES = ("background_similarity", "reference_similarity", "category_distance")


def real_row(place: int, **changes: Any) -> dict[str, Any]:
    """A row of the split: its picture has another background than what was painted, its reference a third one."""
    row = {
        "id": f"{place:03d}",
        "category": "lamp",
        "image": png(picture(500 + place)),
        "cutout": png(np.dstack([picture(1000 + place), mask()])),
        "reference": png(picture(700 + place)),
        "reference_cutout": png(np.dstack([picture(1), mask().T])),
    }
    return row | changes


def measured(
    settings: EvaluateConfig, image: ImageConfig, rows: list[dict[str, Any]], names: tuple[str, ...] = NAMES
) -> tuple[MetricSet, dict[str, float]]:
    running = MetricSet(settings, image, names)
    table = pa.Table.from_pylist(rows, COLUMNS)
    running.add_real(table.slice(2))  # in another order than what was painted
    running.add_real(table.slice(0, 2))
    running.add_generated(generated(4))
    return running, running.figures()


def without(pixels: Pixels, product: Pixels) -> Pixels:
    return np.where(product[..., None] > 0, 127, pixels).astype(np.uint8)


def test_each_background_is_compared_with_its_own_row_s(settings: EvaluateConfig, image: ImageConfig) -> None:
    running, found = measured(settings, image, [real_row(place) for place in range(4)])

    def directions(pictures: list[Pixels]) -> torch.Tensor:
        return torch.nn.functional.normalize(running.encoder.embed(pictures).double(), dim=-1)

    painted = directions([without(picture(place), mask()) for place in range(4)])
    own = directions([without(picture(500 + place), mask()) for place in range(4)])
    told = directions([without(picture(700 + place), mask().T) for place in range(4)])
    assert found["background_similarity"] == pytest.approx(100 * float((painted * own).sum(1).mean()), rel=1e-5)
    assert found["reference_similarity"] == pytest.approx(100 * float((painted * told).sum(1).mean()), rel=1e-5)
    centre = torch.nn.functional.normalize(own.mean(0), dim=0)
    assert found["category_distance"] == pytest.approx(100 * float((1 - painted @ centre).mean()), rel=1e-4)
    assert "background_similarity_left_out" not in found


def test_a_row_needs_no_picture_of_its_own_to_be_compared_with_its_reference(
    settings: EvaluateConfig, image: ImageConfig
) -> None:
    """Products that are cutouts alone, painted after references; metrics of the split's pictures pass them over."""
    catalogue.check(settings, ("reference_similarity",), "test", 0)
    rows = [real_row(place) for place in range(4)]
    _, whole = measured(settings, image, rows)
    bare = [real_row(place, image=None) for place in range(4)]
    _, found = measured(settings, image, bare, ("reference_similarity",))
    assert found["reference_similarity"] == whole["reference_similarity"] and found["real_left_out"] == 4
    _, mixed = measured(settings, image, [*rows[:2], *bare[2:]])
    assert mixed["reference_similarity"] == pytest.approx(whole["reference_similarity"], rel=1e-6)
    assert mixed["background_similarity_left_out"] == 2 and mixed["real_images"] == 2


def test_rows_without_what_was_wanted_are_left_out_and_counted(settings: EvaluateConfig, image: ImageConfig) -> None:
    broken = {"bytes": b"no picture", "path": None}
    rows = [
        real_row(0, reference=None),
        real_row(1, reference=broken),
        real_row(2, reference_cutout=None),  # a background without a product
        real_row(3),
    ]
    _, found = measured(settings, image, rows)
    assert found["reference_similarity_left_out"] == 2 and "background_similarity_left_out" not in found
    _, found = measured(settings, image, [real_row(0, cutout=broken), *rows[1:]], ("background_similarity",))
    assert found["background_similarity_left_out"] == 1 and found["real_left_out"] == 1
    _, found = measured(settings, image, [*rows[2:]], ("background_similarity",))  # two rows are not in the split
    assert found["background_similarity_left_out"] == 2
