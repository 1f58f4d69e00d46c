"""The metrics over rows: as computed by hand, in any order of batches, with errors, and on Ray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from p2i_ray.config import EvaluateConfig, ImageConfig
from p2i_ray.errors import UserError
from p2i_ray.evaluate import picture_values
from p2i_ray.evaluate.measure import METRICS, MetricSet, measure
from tests.support.generated_rows import SCHEMA, generated, mask, picture, png, real


def figures(
    settings: EvaluateConfig, image: ImageConfig, rows: list[pa.Table], reals: list[pa.Table]
) -> dict[str, float]:
    running = MetricSet(settings, image, METRICS)
    for batch in reals:
        running.add_real(batch)
    for batch in rows:
        running.add_generated(batch)
    return running.figures()


def test_the_same_pictures_on_both_sides_have_no_distance(settings: EvaluateConfig, image: ImageConfig) -> None:
    found = figures(settings, image, [generated(12)], [real(12)])
    assert found["fid"] == pytest.approx(0, abs=1e-4)
    assert found["images"] == found["fid_images"] == 12
    assert found["fid_features"] == 8


def test_the_order_of_batches_does_not_matter(settings: EvaluateConfig, image: ImageConfig) -> None:
    rows, reals = generated(11, seed=50), real(9)
    one = figures(settings, image, [rows], [reals])
    many = figures(
        settings, image, [rows.slice(8), rows.slice(0, 3), rows.slice(3, 5)], [reals.slice(5), reals.slice(0, 5)]
    )
    assert many == pytest.approx(one, rel=1e-5)


def test_what_the_two_scores_compare(settings: EvaluateConfig, image: ImageConfig) -> None:
    """By hand for one row: the product on grey against the picture, and against the picture with grey for product."""
    row = generated(1)
    running = MetricSet(settings, image, ("clip_c_i", "clip_c_b"))
    running.add_generated(row)
    inside = mask()[..., None] > 0
    whole, product = picture(0), np.where(inside, picture(1000), 127).astype(np.uint8)
    background = np.where(inside, 127, whole).astype(np.uint8)
    i, c, b = torch.nn.functional.normalize(running.encoder.embed([whole, product, background]), dim=-1)
    found = running.figures()
    assert found["clip_c_i"] == pytest.approx(100 * float(i @ c), abs=1e-3)
    assert found["clip_c_b"] == pytest.approx(100 * float(b @ c), abs=1e-3)
    assert "fid" not in found


def test_rows_with_an_error_are_left_out_and_counted(settings: EvaluateConfig, image: ImageConfig) -> None:
    broken = pa.Table.from_pylist(
        [{"id": "x", "image": {"bytes": b"no picture", "path": None}, "cutout": png(picture(1)), "error": None}], SCHEMA
    )
    found = figures(settings, image, [generated(8, failed=2), broken], [real(6)])
    clean = figures(settings, image, [generated(6)], [real(6)])
    assert (found["images"], found["left_out"]) == (6, 3)
    for name in METRICS:
        assert found[name] == pytest.approx(clean[name], abs=1e-4)


def test_real_pictures_are_counted_the_same_whichever_metrics_are_asked_for(
    settings: EvaluateConfig, image: ImageConfig
) -> None:
    """Else a FID that was measured by itself could not be compared with one that was measured beside others."""
    unreadable = pa.Table.from_pylist([{"id": "x", "image": {"bytes": b"none", "path": None}}], real(1).schema)
    for metrics in (("fid",), ("kid",), ("fid", "kid")):
        running = MetricSet(settings, image, metrics)
        running.add_real(real(12))
        running.add_real(unreadable)
        running.add_generated(generated(12, failed=1))
        found = running.figures()
        assert (found["images"], found["real_images"], found["real_left_out"]) == (11, 12, 1)
        assert found.get("fid_images", 11) == 11


def test_nothing_to_measure(settings: EvaluateConfig, image: ImageConfig) -> None:
    with pytest.raises(UserError, match="all 3 generated rows have an error; the first says: out of memory"):
        figures(settings, image, [generated(3, failed=3)], [real(3)])
    with pytest.raises(UserError, match="FID needs two pictures a side"):
        figures(settings, image, [generated(3)], [real(1)])


def test_further_metrics_beside_those_of_a_run(settings: EvaluateConfig, image: ImageConfig) -> None:
    """In any order of batches; broken real pictures are counted; the product of these rows is noise that differs."""
    names = ("clip_c_i", "kid", "cmmd", "diversity", "product_unchanged", "product_colour", "seam_contrast")
    broken = pa.Table.from_pylist([{"id": "x", "image": {"bytes": b"none", "path": None}}], real(1).schema)
    found = []
    for rows, reals in (
        ([generated(14, failed=2)], [real(13), broken]),
        ([generated(14, failed=2).slice(5), generated(14).slice(0, 5)], [broken, real(13).slice(4), real(4)]),
    ):
        running = MetricSet(settings, image, names)
        for batch in reals:
            running.add_real(batch)
        for batch in rows:
            running.add_generated(batch)
        found.append(running.figures())
    assert found[0] == pytest.approx(found[1], rel=1e-4, abs=1e-6)
    assert (found[0]["real_images"], found[0]["real_left_out"], found[0]["left_out"]) == (13, 1, 2)
    assert found[0]["kid"] < 0 and found[0]["cmmd"] < 1  # the same pictures but for one
    inside = mask() > 0
    apart = [np.abs(picture(i)[inside].astype(int) - picture(1000 + i)[inside]) for i in range(12)]
    assert found[0]["product_unchanged"] == pytest.approx(np.mean([(one <= 2).all(-1).mean() for one in apart]))
    assert {f"{name}{end}" for name in names[1:] for end in ("", "_low", "_high")} <= set(found[0])
    alone = MetricSet(settings, image, ("clip_c_i",))
    alone.add_generated(generated(14, failed=2))
    assert alone.figures()["clip_c_i"] == found[0]["clip_c_i"]


def test_too_few_pictures_and_other_sizes(settings: EvaluateConfig, image: ImageConfig) -> None:
    running = MetricSet(settings, image, ("kid",))
    running.add_real(real(12))
    running.add_generated(generated(9))
    with pytest.raises(UserError, match="kid needs 10 pictures a side; there are 9 generated and 12 real"):
        running.figures()
    larger = MetricSet(settings, ImageConfig(resolution=64), ("product_colour",))
    larger.add_generated(generated(3))
    assert larger.figures()["resized"] == 3


def test_on_ray_as_without(ray_cluster: None, tmp_path: Path, settings: EvaluateConfig, image: ImageConfig) -> None:
    import ray

    rows = generated(10, seed=50, failed=1)
    pq.write_table(rows.slice(0, 6), tmp_path / "a.parquet")
    pq.write_table(rows.slice(6), tmp_path / "b.parquet")
    pq.write_table(generated(4, seed=900), tmp_path / "left-by-a-dead-attempt.parquet")
    reals = ray.data.from_arrow([real(7), real(5, seed=300)])
    files, out = ["a.parquet", "b.parquet"], str(tmp_path / "out")
    found = measure(str(tmp_path), files, reals, settings=settings, image=image, values=out)
    assert found == pytest.approx(figures(settings, image, [rows], [real(7), real(5, seed=300)]), rel=1e-4)
    values = picture_values.read(out, "clip_c_b") or {}
    assert list(values) == [f"{i:03d}" for i in range(9)]
    assert np.mean(list(values.values())) == pytest.approx(found["clip_c_b"], rel=1e-6)

    with pytest.raises(UserError, match="nowhere is not there"):  # raised in the worker, one line here
        elsewhere = settings.model_copy(update={"clip": "/nowhere"})
        measure(str(tmp_path), ["a.parquet"], reals, settings=elsewhere, image=image)


CHECKS = """
import sys
from p2i_ray.config import Config, load
from p2i_ray.evaluate import catalogue, measure
from p2i_ray.generators import methods
measure.check(load(Config, "mini").evaluate, (*catalogue.LOOP, "seam_contrast"), "test", 16)
print(sorted({"torch", "transformers", "diffusers"} & set(sys.modules)))
"""


@pytest.mark.heavy
def test_what_is_checked_beforehand_waits_for_no_model_s_library() -> None:
    done = subprocess.run([sys.executable, "-c", CHECKS], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_mistakes_before_anything_starts(settings: EvaluateConfig, image: ImageConfig) -> None:
    with pytest.raises(UserError, match="unknown metric 'fd'; there are fid, clip_c_i, clip_c_b"):
        measure("/tmp", ["a"], None, settings=settings, image=image, metrics=("fd",))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no generated pictures"):
        measure("/tmp", [], None, settings=settings, image=image)  # type: ignore[arg-type]
