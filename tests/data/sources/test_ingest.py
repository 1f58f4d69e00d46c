"""A task's rows, without Ray: each ends once in a split or in rejected/, and cutouts alone never in train."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from p2i_ray.config import ImageConfig
from p2i_ray.data.images import encode_png
from p2i_ray.data.sources import listing
from p2i_ray.data.sources.ingest import TASK_GIB, IngestConfig, Plan, _ingest_slice, resources

IMAGE = ImageConfig(resolution=32)


def folder(place: Path) -> Path:
    """A photo with a mask, a cutout with and without its photo, and files that are no pictures."""
    photo = np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8)
    mask = np.zeros((48, 48), np.uint8)
    mask[12:36, 12:36] = 255
    place.mkdir()
    (place / "photo.png").write_bytes(encode_png(photo))
    (place / "mask.png").write_bytes(encode_png(mask))
    (place / "cutout.png").write_bytes(encode_png(np.dstack([photo, mask])))
    for name, content in (("text.png", b"hello"), ("zero.png", b""), ("cut.png", encode_png(photo)[:900])):
        (place / name).write_bytes(content)
    (place / "drawing.png").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (place / "sub").mkdir()
    os.mkfifo(place / "pipe.png")
    (place / "names.csv").write_text(
        "id,file,name,category,mask,cutout\n"
        "masked,photo.png,Box,Boxes,mask.png,\n"
        "alone,cutout.png,Box,Boxes,,\n"
        "both,./photo.png ,Box,Boxes,,cutout.png\n"
        "lost,zero.png,Box,Boxes,,\n"
        "text,text.png,Box,Boxes,,\n"
        "drawn,drawing.png,Box,Boxes,,\n"
        "short,cut.png,Box,Boxes,,\n"
        "inside,sub,Box,Boxes,,\n"
        "piped,pipe.png,Box,Boxes,,\n"
        "nomask,mask.png,Box,Boxes,none.png,\n"
        "badmask,sub/../cutout.png ,Box,Boxes,,../secret.png\n"
    )
    return place


def ingested(shop: Path, out: Path, split: str) -> tuple[pa.Table, dict[str, dict[str, dict]]]:
    rows = listing.read(str(shop / "names.csv"))
    rows = rows.filter(pc.is_null(rows["reason"]))
    rows = rows.append_column("split", pa.array([split] * rows.num_rows))
    report = _ingest_slice(rows, Plan(str(shop), str(out), settings=IngestConfig(), image=IMAGE, seed=0), str(out))
    found: dict[str, dict[str, dict]] = {}
    for line in report.to_pylist():
        table = pq.read_table(out / line["part"] / line["file"])
        assert table.num_rows == line["rows"]
        found[line["part"]] = {row["id"]: row for row in table.to_pylist()}
    assert sum(len(part) for part in found.values()) == rows.num_rows
    return report, found


def test_a_tasks_rows(tmp_path: Path) -> None:
    shop = folder(tmp_path / "shop")
    set_aside = {row["id"]: row["reason"] for row in listing.read(str(shop / "names.csv")).to_pylist() if row["reason"]}
    assert set_aside == {
        "both": "duplicate file: an earlier row has it",
        "badmask": "outside the folder: the path leads out of source",
    }
    report, found = ingested(shop, tmp_path / "train", "train")
    assert set(found["train"]) == {"masked"} and set(found["test"]) == {"alone"}
    assert found["test"]["alone"]["image"] is None and found["train"]["masked"]["image"]["bytes"]
    assert {line["part"]: line["without_scene"] for line in report.to_pylist()} == {
        "train": 0,
        "test": 1,
        "rejected": 0,
    }
    assert {row["source"]: row["reason"] for row in found["rejected"].values()} == {
        "zero.png": "unreadable: the image is empty",
        "text.png": "unreadable: text, not a JPEG, PNG, WEBP, AVIF, GIF, BMP, TIFF picture",
        "drawing.png": "unreadable: an SVG drawing; export it as PNG",
        "cut.png": found["rejected"]["short"]["reason"],
        "sub": "unreadable: Is a directory",
        "pipe.png": "unreadable: not an ordinary file",
        "mask.png": "bad mask: file missing: it is not in source",
    }
    assert found["rejected"]["short"]["reason"].startswith("unreadable: ")
    for split in ("validation", "test_unseen"):
        assert set(ingested(shop, tmp_path / split, split)[1][split]) == {"masked", "alone"}


def test_memory_follows_from_the_largest_picture() -> None:
    need = resources(IngestConfig(), ImageConfig(max_pixels=2**28 // 2))
    assert need.bundle.memory_gib == TASK_GIB + 0.5
    assert need.bundle.cpus == IngestConfig().num_cpus
