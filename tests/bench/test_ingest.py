"""Both sides of the ingestion's benchmark work on the same photos."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from bench import ingest
from bench.children import Cost
from p2i_ray.config import Config, load
from p2i_ray.data.cutouts.settings import CutoutConfig
from p2i_ray.data.images import encode_cutout, encode_jpeg
from p2i_ray.data.near_duplicates import fingerprint
from p2i_ray.data.sources.samples import Files, make_sample


def test_photos_are_converted_on_both_sides(tmp_path: Path) -> None:
    ingest.write_photos(tmp_path / "photos", 3, 80)
    lines = (tmp_path / "photos" / "names.csv").read_text().splitlines()
    assert len(lines) == 4
    own, others = ingest.work_ms(tmp_path / "photos", 3, 64)
    assert own > 0 and others > 0
    row = {"id": "1", "file": "1.jpg", "cutout_file": "1-cutout.png"}
    made = ingest.converted(row, str(tmp_path / "photos"), 64)
    for column, kind, mode in (("image", "JPEG", "RGB"), ("cutout", "PNG", "RGBA")):
        with Image.open(io.BytesIO(made[column]["bytes"])) as picture:
            assert (picture.format, picture.mode, picture.size) == (kind, mode, (64, 64))


def test_the_same_work_makes_the_same_sample(tmp_path: Path) -> None:
    ingest.write_photos(tmp_path / "photos", 2, 80)
    line = (tmp_path / "photos" / "names.csv").read_text().splitlines()[2].split(",")
    row = dict(zip(("id", "file", "cutout_file", "name", "category"), line, strict=True))
    found = ingest.made(row, str(tmp_path / "photos"), 64)
    files = Files((tmp_path / "photos" / "1.jpg").read_bytes(), cutout=(tmp_path / "photos" / line[2]).read_bytes())
    sample = make_sample(files, CutoutConfig(), load(Config, "mini").image.model_copy(update={"resolution": 64}))
    assert found["cutout"]["bytes"] == encode_cutout(sample.cutout) and found["quality"]["source"] == "cutout"
    assert sample.picture is not None and found["image"]["bytes"] == encode_jpeg(sample.picture)
    assert found["fingerprint"] == fingerprint(sample.picture)


def test_sides_are_compared_by_medians() -> None:
    costs = {
        "ours": [Cost(seconds, 0, processor_s) for seconds, processor_s in ((10, 4), (2.5, 16), (5, 8))],
        "map": [Cost(seconds, 0, 4) for seconds in (2, 4, 2.5)],
    }
    assert ingest.compared("small", 100, costs) == {
        "ingest_small_ours_rows_per_s": 20.0,
        "ingest_small_ours_rows_per_s_min": 10.0,
        "ingest_small_ours_processor_ms": 80.0,
        "ingest_small_map_rows_per_s": 40.0,
        "ingest_small_map_rows_per_s_min": 25.0,
        "ingest_small_map_processor_ms": 40.0,
        "ingest_small_vs_map_rows_per_s": 0.5,
        "ingest_small_vs_map_processor_ms": 0.5,
    }
