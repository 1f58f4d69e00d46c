from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from p2i_ray.config import EvaluateConfig, ImageConfig
from p2i_ray.errors import UserError
from p2i_ray.evaluate.measure import METRICS, MetricSet, measure
from tests.support.painted_rows import SCHEMA, mask, painted, picture, png, real


def figures(
    settings: EvaluateConfig, image: ImageConfig, paint: list[pa.Table], reals: list[pa.Table]
) -> dict[str, float]:
    ruler = MetricSet(settings, image, METRICS)
    for batch in reals:
        ruler.add_real(batch)
    for batch in paint:
        ruler.add_painted(batch)
    return ruler.figures()


def test_the_same_pictures_on_both_sides_have_no_distance(settings: EvaluateConfig, image: ImageConfig) -> None:
    found = figures(settings, image, [painted(12)], [real(12)])
    assert found["fid"] == pytest.approx(0, abs=1e-4)
    assert found["images"] == found["fid_images"] == 12
    assert found["fid_features"] == 8


def test_the_order_of_batches_does_not_matter(settings: EvaluateConfig, image: ImageConfig) -> None:
    paint, reals = painted(11, seed=50), real(9)
    one = figures(settings, image, [paint], [reals])
    many = figures(
        settings, image, [paint.slice(8), paint.slice(0, 3), paint.slice(3, 5)], [reals.slice(5), reals.slice(0, 5)]
    )
    assert many == pytest.approx(one, rel=1e-5)


def test_what_the_two_scores_compare(settings: EvaluateConfig, image: ImageConfig) -> None:
    """By hand for one row: the product on grey against the picture, and against the picture with grey for product."""
    row = painted(1)
    ruler = MetricSet(settings, image, ("clip_c_i", "clip_c_b"))
    ruler.add_painted(row)
    inside = mask()[..., None] > 0
    whole, product = picture(0), np.where(inside, picture(1000), 127).astype(np.uint8)
    background = np.where(inside, 127, whole).astype(np.uint8)
    i, c, b = torch.nn.functional.normalize(ruler.encoder.embed([whole, product, background]), dim=-1)
    found = ruler.figures()
    assert found["clip_c_i"] == pytest.approx(100 * float(i @ c), abs=1e-3)
    assert found["clip_c_b"] == pytest.approx(100 * float(b @ c), abs=1e-3)
    assert "fid" not in found


def test_rows_with_an_error_are_left_out_and_counted(settings: EvaluateConfig, image: ImageConfig) -> None:
    broken = pa.Table.from_pylist(
        [{"id": "x", "image": {"bytes": b"no picture", "path": None}, "cutout": png(picture(1)), "error": None}], SCHEMA
    )
    found = figures(settings, image, [painted(8, failed=2), broken], [real(6)])
    clean = figures(settings, image, [painted(6)], [real(6)])
    assert (found["images"], found["left_out"]) == (6, 3)
    for name in METRICS:
        assert found[name] == pytest.approx(clean[name], abs=1e-4)


def test_nothing_to_measure(settings: EvaluateConfig, image: ImageConfig) -> None:
    with pytest.raises(UserError, match="all 3 painted rows have an error"):
        figures(settings, image, [painted(3, failed=3)], [real(3)])
    with pytest.raises(UserError, match="FID needs two pictures a side"):
        figures(settings, image, [painted(3)], [real(1)])


def test_on_ray_as_without(ray_cluster: None, tmp_path: Path, settings: EvaluateConfig, image: ImageConfig) -> None:
    import ray

    rows = painted(10, seed=50, failed=1)
    pq.write_table(rows.slice(0, 6), tmp_path / "a.parquet")
    pq.write_table(rows.slice(6), tmp_path / "b.parquet")
    pq.write_table(painted(4, seed=900), tmp_path / "left-by-a-dead-attempt.parquet")
    reals = ray.data.from_arrow([real(7), real(5, seed=300)])
    found = measure(str(tmp_path), ["a.parquet", "b.parquet"], reals, settings, image)
    assert found == pytest.approx(figures(settings, image, [rows], [real(7), real(5, seed=300)]), rel=1e-4)

    with pytest.raises(UserError, match="nowhere is not there"):  # raised in the worker, one line here
        measure(str(tmp_path), ["a.parquet"], reals, settings.model_copy(update={"clip": "/nowhere"}), image)


def test_mistakes_before_anything_starts(settings: EvaluateConfig, image: ImageConfig) -> None:
    with pytest.raises(UserError, match="unknown metric 'fd'; there are fid, clip_c_i, clip_c_b"):
        measure("/tmp", ["a"], None, settings, image, ("fd",))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no painted pictures"):
        measure("/tmp", [], None, settings, image)  # type: ignore[arg-type]
