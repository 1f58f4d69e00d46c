"""Both sides of the ingestion's benchmark work on the same photos."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from bench import ingest


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


def test_sides_are_compared_by_medians() -> None:
    found = ingest.compared("small", {"ours": [10.0, 40.0, 20.0], "map": [50.0, 30.0, 40.0]})
    assert found == {
        "ingest_small_ours_rows_per_s": 20.0,
        "ingest_small_map_rows_per_s": 40.0,
        "ingest_small_ours_rows_per_s_min": 10.0,
        "ingest_small_map_rows_per_s_min": 30.0,
        "ingest_small_vs_map": pytest.approx(0.5),
    }
