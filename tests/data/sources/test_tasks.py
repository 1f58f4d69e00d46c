"""A task's rows, without Ray: each ends once in a split or in rejected/, and cutouts alone never in train."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from p2i_ray.config import ImageConfig
from p2i_ray.data.cleaning.settings import CleaningConfig
from p2i_ray.data.images import encode_png
from p2i_ray.data.schema import INGESTED
from p2i_ray.data.sources import source
from p2i_ray.data.sources.tasks import KILLER, SAMPLES, IngestConfig, Plan, copy_samples, killer, make_samples

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
    shutil.copy(place / "cutout.png", place / "4.png")
    shutil.copy(place / "cutout.png", place / "only.png")
    (place / "drawing.png").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (place / "page.png").write_text("<!DOCTYPE html><html><body>404</body></html>")
    (place / "pointer.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    (place / "sub").mkdir()
    os.mkfifo(place / "pipe.png")
    (place / "names.csv").write_text(
        "id,file,name,category,mask,cutout\n"
        "masked,photo.png,Box,Boxes,mask.png,\n"
        "alone,cutout.png,Box,Boxes,,\n"
        "both,./photo.png ,Box,Boxes,,cutout.png\n"
        "only,,Box,Boxes,,only.png\n"
        "lost,zero.png,Box,Boxes,,\n"
        "text,text.png,Box,Boxes,,\n"
        "drawn,drawing.png,Box,Boxes,,\n"
        "page,page.png,Box,Boxes,,\n"
        "pointer,pointer.png,Box,Boxes,,\n"
        "short,cut.png,Box,Boxes,,\n"
        "inside,sub,Box,Boxes,,\n"
        "piped,pipe.png,Box,Boxes,,\n"
        "nomask,mask.png,Box,Boxes,none.png,\n"
        "badmask,sub/../cutout.png ,Box,Boxes,,../secret.png\n"
    )
    return place


def test_a_tasks_rows(tmp_path: Path) -> None:
    shop = folder(tmp_path / "shop")
    read = source.read(str(shop), str(shop / "names.csv"))
    assert read.notes == ["1 pictures in source have no row, such as 4.png"]
    set_aside = {row["id"]: row["reason"] for row in read.rows.to_pylist() if row["reason"]}
    assert set_aside == {
        "both": "duplicate file: an earlier row has it",
        "badmask": "outside the folder: the path leads out of source",
    }
    rows = read.rows.filter(pc.is_null(read.rows["reason"]))
    rows = rows.append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    building = tmp_path / "building"
    plan = Plan(read.root, str(tmp_path), settings=IngestConfig(), image=IMAGE, seed=0)
    lines = make_samples(rows, plan, str(building)).to_pylist()
    assert sorted(line["row"] for line in lines) == list(range(rows.num_rows))
    ids = rows["id"].to_pylist()
    made = {ids[line["row"]]: line for line in lines if line["reason"] is None}
    assert {id: (line["place"], line["scene"]) for id, line in made.items()} == {
        "masked": (0, True),
        "alone": (1, False),
        "only": (2, False),
    }
    assert made["alone"]["fingerprint"] == made["only"]["fingerprint"] != made["masked"]["fingerprint"]
    samples = pq.read_table(building / SAMPLES / made["alone"]["file"]).to_pylist()
    assert [row["id"] for row in samples] == ["masked", "alone", "only"]
    assert samples[0]["image"]["bytes"] and samples[1]["image"] is None
    aside = [line for line in lines if line["reason"]]
    found = {
        "rejected": {row["id"]: row for row in pq.read_table(building / "rejected" / aside[0]["file"]).to_pylist()}
    }
    assert len(found["rejected"]) + len(made) == rows.num_rows
    assert {row["source"]: row["reason"] for row in found["rejected"].values()} == {
        "zero.png": "unreadable: the image is empty",
        "text.png": "unreadable: text, not a JPEG, PNG, WEBP, AVIF, GIF, BMP, TIFF picture",
        "drawing.png": "unreadable: an SVG drawing; export it as PNG",
        "page.png": "unreadable: a web page (HTML), not a picture",
        "pointer.png": "unreadable: a Git LFS pointer, not the picture; run git lfs pull",
        "cut.png": found["rejected"]["short"]["reason"],
        "sub": "unreadable: Is a directory",
        "pipe.png": "unreadable: not an ordinary file",
        "mask.png": "bad mask: file missing: it is not in source",
    }
    assert found["rejected"]["short"]["reason"].startswith("unreadable: ")
    copy = pa.table({"split": ["test"] * 2, "file": [made["alone"]["file"]] * 2, "place": [0, 2], "group": ["a", "b"]})
    (written,) = copy_samples(copy, str(building)).to_pylist()
    table = pq.read_table(building / "test" / written["file"])
    assert table.schema.equals(INGESTED, check_metadata=False) and written["rows"] == 2
    assert [(row["id"], row["group"]) for row in table.to_pylist()] == [("masked", "a"), ("only", "b")]
    assert table.to_pylist()[1]["cutout"] == samples[2]["cutout"]


def test_samples_are_the_same_to_the_byte_however_rows_are_divided_among_tasks(tmp_path: Path) -> None:
    shop = folder(tmp_path / "shop")
    read = source.read(str(shop), str(shop / "names.csv"))
    rows = read.rows.filter(pc.is_null(read.rows["reason"]))
    rows = rows.append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    plan = Plan(read.root, str(tmp_path), settings=IngestConfig(), image=IMAGE, seed=0)
    found = []
    for size in (1, 4, rows.num_rows):
        building = tmp_path / f"building-{size}"
        for start in range(0, rows.num_rows, size):
            make_samples(rows.slice(start, size), plan, str(building))
        made = [row for part in (SAMPLES, "rejected") for row in pq.read_table(building / part).to_pylist()]
        found.append(sorted(made, key=lambda row: str(row["id"])))
    assert found[0] == found[1] == found[2]


def test_a_shard_has_no_more_rows_than_the_setting(tmp_path: Path) -> None:
    shop = folder(tmp_path / "shop")
    read = source.read(str(shop), str(shop / "names.csv"))
    rows = read.rows.filter(pc.is_null(read.rows["reason"]))
    rows = rows.append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    plan = Plan(read.root, str(tmp_path), settings=IngestConfig(rows_per_file=2), image=IMAGE, seed=0)
    lines = make_samples(rows, plan, str(tmp_path)).to_pylist()
    assert sorted(line["row"] for line in lines) == [*range(rows.num_rows)]
    names = rows["id"].to_pylist()
    for part in (SAMPLES, "rejected"):
        for file in (tmp_path / part).iterdir():
            held = pq.read_table(file)["id"].to_pylist()
            listed = [line for line in lines if line["file"] == file.name]
            assert {names[line["row"]] for line in listed} == set(held) and len(held) <= 2
            if part == SAMPLES:
                assert all(held[line["place"]] == names[line["row"]] for line in listed)


def test_rules_set_rows_aside_before_and_after_they_are_cut(tmp_path: Path) -> None:
    place = folder(tmp_path / "photos")
    rows = source.read(str(place), str(place / "names.csv")).rows
    rows = rows.append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    rows = rows.filter(pc.is_in(rows["id"], pa.array(["masked", "alone"])))

    def reasons(**rules: float) -> dict[str, str]:
        settings = IngestConfig(cleaning=CleaningConfig(**rules))
        plan = Plan(str(place), str(tmp_path), settings=settings, image=IMAGE, seed=0)
        report = make_samples(rows, plan, str(tmp_path / "building"))
        found = pc.filter(report["file"], pc.is_valid(report["reason"])).to_pylist()
        tables = [pq.read_table(tmp_path / "building" / "rejected" / name) for name in dict.fromkeys(found)]
        return {row["id"]: row["reason"] for table in tables for row in table.to_pylist()}

    assert reasons() == {} == reasons(min_side=48, min_variation=20)
    assert reasons(min_side=49).keys() == {"masked", "alone"}
    assert reasons(min_variation=100).keys() == {"masked"}  # a cutout without a scene has no background


def test_a_row_that_ends_its_process_is_set_aside_like_the_others(tmp_path: Path) -> None:
    row = {"row": 7, "id": "a", "file": "a.jpg", "cutout": None, "origin": "list.csv:3"}
    [line] = killer(row, str(tmp_path)).to_pylist()
    assert (line["row"], line["reason"], line["place"]) == (7, KILLER, None)
    [found] = pq.read_table(tmp_path / "rejected" / line["file"]).to_pylist()
    assert (found["id"], found["source"]) == ("a", "a.jpg") and found["reason"].startswith(f"{KILLER}: ")
