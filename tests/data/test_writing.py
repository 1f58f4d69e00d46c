"""EPBD on disk: what is written opens elsewhere, and nothing is overwritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from p2i_ray.data import writing
from p2i_ray.data.schema import SCHEMA
from tests.support.write_split import write_split


def rows(count: int, lossless: bool = True) -> list[dict[str, Any]]:
    samples = []
    for number in range(count):
        picture = np.full((16, 16, 3), 10 * number, np.uint8)
        mask = np.zeros((16, 16), np.uint8)
        mask[4:12, 4:12] = 255
        id_, name = f"id-{number}", f"Mug {number}"
        cutout = np.dstack([picture, mask])
        samples.append(writing.sample(id_, name, "Cup", cutout=cutout, picture=picture, lossless=lossless))
    return samples


def test_hugging_face_datasets_shows_the_pictures(tmp_path: Path) -> None:
    import datasets

    files = write_split(str(tmp_path), "train", rows(5), rows_per_file=2)
    assert len(set(files)) == 3
    found = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "train/*.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert isinstance(found.features["image"], datasets.Image) and isinstance(found.features["cutout"], datasets.Image)
    by_id = {row["id"]: row for row in found}
    assert sorted(by_id) == [f"id-{n}" for n in range(5)]
    picture, cutout = np.asarray(by_id["id-3"]["image"]), np.asarray(by_id["id-3"]["cutout"])
    assert picture.shape == (16, 16, 3) and (picture == 30).all()
    assert cutout.shape == (16, 16, 4)
    assert (cutout[4:12, 4:12] == [30, 30, 30, 255]).all() and cutout[..., 3].sum() == 64 * 255


def test_a_shard_has_the_schema_and_a_name_of_its_own(tmp_path: Path) -> None:
    names = [writing.write_shard(rows(2), str(tmp_path / "train")) for _ in range(2)]
    assert names[0] != names[1]
    assert pq.read_schema(tmp_path / "train" / names[0]).equals(SCHEMA, check_metadata=True)


def test_jpeg_is_smaller_and_close(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 128).astype(np.uint8)[None, :, None].repeat(128, 0).repeat(3, 2)
    noise = np.random.default_rng(0).integers(0, 40, ramp.shape, np.uint8) // 2 + ramp // 2
    cutout = np.zeros((128, 128, 4), np.uint8)
    rows = [
        writing.sample("a", "b", "c", cutout=cutout, picture=noise, lossless=lossless) for lossless in (True, False)
    ]
    sizes = [len(row["image"]["bytes"]) for row in rows]
    assert sizes[1] < sizes[0]


def test_an_id_with_slashes_names_no_folder() -> None:
    row = writing.sample(
        "A/1\\..", "Mug", "Cup", cutout=np.zeros((8, 8, 4), np.uint8), picture=np.zeros((8, 8, 3), np.uint8)
    )
    assert (row["id"], row["image"]["path"], row["cutout"]["path"]) == ("A/1\\..", "A_1_...jpg", "A_1_..-cutout.png")
