"""Sources of every kind, as others write them, down to the pictures' bytes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import datasets
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from p2i_ray.data.images import ImageError, encode_png
from p2i_ray.data.pair_list import Pair
from p2i_ray.data.schema import IMAGE
from p2i_ray.data.sources import repeats, source
from p2i_ray.data.sources.pictures import PictureReader, chunk, position
from p2i_ray.errors import UserError
from p2i_ray.storage import folders, locations
from tests.support.variables import variables


def picture(level: int, alpha: bool = False) -> bytes:
    pixels = np.full((8, 8, 4 if alpha else 3), level, np.uint8)
    pixels[2:6, 2:6] = 255
    return encode_png(pixels)


def write(folder: Path, files: Mapping[str, bytes | str]) -> Path:
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def zipped(place: Path, files: Mapping[str, bytes | str]) -> Path:
    with zipfile.ZipFile(place, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return place


def tarred(place: Path, files: Mapping[str, bytes | str]) -> Path:
    with tarfile.open(place, "w") as archive:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return place


def rows(found: source.Read) -> list[dict[str, Any]]:
    """The rows that can be used, with their pictures' bytes in place of where they lie."""
    with PictureReader(found.root, 1 << 20) as reader:
        return [
            row | {kind: reader.read(row[kind]) for kind in ("file", "mask", "cutout") if row[kind]}
            for row in found.rows.to_pylist()
            if row["reason"] is None
        ]


def shown(found: source.Read) -> list[tuple[bytes, str, str]]:
    return [(row["file"], row["name"], row["category"]) for row in rows(found)]


TWO = {"a.png": picture(1), "b/c.png": picture(2)}
MUG_AND_JUG = [(picture(1), "Mug", "Cups"), (picture(2), "Jug", "Cups")]
CSV = "file,name,category\na.png,Mug,Cups\nb/c.png,Jug,Cups\n"
LINES = """{"file": "a.png", "name": "Mug", "category": "Cups", "price": 2}

{"category": "Cups", "file": "b/c.png", "name": "Jug"}
"""


@pytest.mark.parametrize(
    ("name", "content"),
    [("list.csv", CSV), ("list.jsonl", LINES), ("list.json", f"[{LINES.strip().replace(chr(10) * 2, ',')}]")],
)
@pytest.mark.parametrize("place", ["folder", "zip", "list in the source"])
def test_a_list_beside_photos_or_in_their_zip(tmp_path: Path, name: str, content: str, place: str) -> None:
    files = TWO | {name: content} | {".hidden.png": b"", "__MACOSX/a.png": b"", "._a.png": b""}
    if place == "zip":
        found = source.read(str(zipped(tmp_path / "photos.zip", files)))
    elif place == "folder":
        write(tmp_path, {name: content})
        found = source.read(str(write(tmp_path / "photos", TWO)), str(tmp_path / name))
    else:
        files["b.png"] = files.pop("b/c.png")
        found = source.read(str(write(tmp_path / "photos", files | {name: content.replace("b/c", "b")})))
    assert shown(found) == MUG_AND_JUG and not found.notes


def test_zips_with_files_of_the_same_name_are_all_read(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    zipped(photos / "january.zip", {"mugs/0.png": picture(1), "mugs/1.png": picture(2)})
    zipped(photos / "february.zip", {"mugs/0.png": picture(3), "jugs/0.png": picture(4)})
    found = source.read(str(photos))
    mugs, jugs = ("mugs", "mugs"), ("jugs", "jugs")  # in the zips' order
    assert shown(found) == [(picture(k), *label) for k, label in ((4, jugs), (3, mugs), (1, mugs), (2, mugs))]
    assert "zip's name is in front, as in february/mugs/0.png for its mugs/0.png" in found.notes[0]
    # A list may name them so; as before, where that says which file is meant.
    names = ("january/mugs/0.png", "mugs/1.png", "mugs/0.png", "0.png", "jugs/0.png")
    write(tmp_path, {"list.csv": "file,name,category\n" + "".join(f"{name},Mug,Cups\n" for name in names)})
    found = source.read(str(photos), str(tmp_path / "list.csv"))
    assert [content for content, *_ in shown(found)] == [picture(1), picture(2), picture(4)]
    assert [row["reason"] for row in found.rows.to_pylist()][2:4] == [
        "ambiguous file: 2 files of source are spelled like mugs/0.png: february/mugs/0.png, january/mugs/0.png",
        "ambiguous file: 3 files of source are spelled like 0.png: february/jugs/0.png, february/mugs/0.png",
    ]


def test_zips_are_known_by_their_whole_names_where_that_is_needed(tmp_path: Path) -> None:
    zipped(tmp_path / "a.zip", {"b/1.png": picture(1)})
    write(tmp_path, {"a/x.txt": ""})
    zipped(tmp_path / "a" / "b.zip", {"1.png": picture(2)})
    zipped(tmp_path / "c.zip", {"1.png": picture(3)})
    found = source.read(str(tmp_path))
    assert sorted(found.rows["origin"].to_pylist()) == ["a.zip/b/1.png", "a/b.zip/1.png", "c.zip/1.png"]
    assert len(shown(found)) == 3


def test_names_in_utf8_that_a_zip_does_not_mark_so(tmp_path: Path) -> None:
    place = zipped(tmp_path / "photos.zip", {"K__che/a.png": picture(1), "K__che/b.png": picture(2)})
    place.write_bytes(place.read_bytes().replace(b"K__che", "Küche".encode()))  # as the Mac's Finder writes them
    assert shown(source.read(str(place))) == [(picture(1), "Küche", "Küche"), (picture(2), "Küche", "Küche")]
    write(tmp_path, {"list.csv": "file,name,category\nKüche/a.png,Tasse,Küche\n"})
    assert shown(source.read(str(place), str(tmp_path / "list.csv"))) == [(picture(1), "Tasse", "Küche")]


def test_a_list_in_parquet_with_the_types_of_other_writers(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([7, 8, None], pa.int64()),
            "file": pa.array(["a.png", "b/c.png", "a.png"], pa.string_view()),
            "name": pa.array(["Mug", "Jug", None], pa.large_string()),
            "category": pa.array(["Cups", "Cups", "Cups"]).dictionary_encode(),
            "sku": pa.array([1.0, 2.0, float("nan")]),
        }
    )
    pq.write_table(table, tmp_path / "list.parquet")
    found = source.read(str(write(tmp_path / "photos", TWO)), str(tmp_path / "list.parquet"))
    assert shown(found) == MUG_AND_JUG
    assert [(row["id"], row["group"], row["reason"]) for row in found.rows.to_pylist()[:2]] == [
        ("7", "1", None),
        ("8", "2", None),
    ]
    assert found.rows["reason"][2].as_py() == "empty name"


def images() -> datasets.Dataset:
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "text": datasets.Value("large_string"),
            "label": datasets.ClassLabel(names=["Cups", "Bags"]),
            "mask_file": datasets.Image(),
        }
    )
    shown = [Image.open(io.BytesIO(picture(level))) for level in (1, 2, 3)]
    masks = [None, Image.open(io.BytesIO(picture(0))), None]
    return datasets.Dataset.from_dict(
        {"image": shown, "text": ["Mug", "Jug", "Bag"], "label": [0, 0, 1], "mask_file": masks}, features
    )


@pytest.mark.parametrize("kind", ["saved", "saved splits", "parquet", "one parquet file"])
def test_hugging_face_data_sets_as_they_are_saved(tmp_path: Path, kind: str) -> None:
    data = images()
    place = tmp_path / "data"
    if kind == "saved":
        data.save_to_disk(place)
    elif kind == "saved splits":
        datasets.DatasetDict(train=data.select([0, 1]), test=data.select([2])).save_to_disk(place)
    else:
        place = place / "data.parquet"
        place.parent.mkdir()
        data.to_parquet(place, batch_size=2)
    found = source.read(str(place if kind != "parquet" else place.parent))
    assert sorted((row["name"], row["category"]) for row in rows(found)) == [
        ("Bag", "Bags"),
        ("Jug", "Cups"),
        ("Mug", "Cups"),
    ]
    by_name = {row["name"]: row for row in rows(found)}
    assert [np.asarray(Image.open(io.BytesIO(by_name[name]["file"])))[0, 0, 0] for name in ("Mug", "Jug", "Bag")] == [
        1,
        2,
        3,
    ]
    assert not by_name["Mug"]["mask"] and by_name["Jug"]["mask"]


def test_of_a_data_set_that_was_saved_again_only_the_last_saving_counts(tmp_path: Path) -> None:
    images().save_to_disk(tmp_path / "data", num_shards=3)
    images().select([1]).save_to_disk(tmp_path / "data", num_shards=1)
    found = source.read(str(tmp_path / "data"))
    assert [row["name"] for row in rows(found)] == ["Jug"]
    assert [note.partition(" Arrow files")[0] for note in found.notes] == ["3"] and "00000-of-00003" in found.notes[0]
    for splits in ({"train": [0], "old": [2]}, {"train": [0], "test": [1]}):
        rows_of = {split: images().select(places) for split, places in splits.items()}
        datasets.DatasetDict(rows_of).save_to_disk(tmp_path / "splits")
    found = source.read(str(tmp_path / "splits"))
    assert sorted(row["name"] for row in rows(found)) == ["Jug", "Mug"]


def test_tables_with_bytes_paths_and_our_own_data(tmp_path: Path) -> None:
    own = pa.table({"id": ["x", "y"], "name": ["Mug", "Jug"], "category": ["Cups", "Cups"], "group": ["g", None],
        "image": [{"bytes": picture(1), "path": None}, None],
        "cutout": [{"bytes": picture(9, True), "path": "x"}, {"bytes": picture(2, True), "path": None}]})  # fmt: skip
    plain = pa.table({"jpg": [picture(3), picture(4)], "title": ["Cap", "Hat"], "type": ["Hats", "Hats"]})
    paths = pa.array([{"bytes": None, "path": "photos/a.png"}], IMAGE)
    named = pa.table({"image": paths, "name": ["Tie"], "category": ["Ties"]})
    write(tmp_path, {"photos/a.png": picture(5)})
    for name, table in (("own", own), ("plain", plain), ("named", named)):
        (tmp_path / name).mkdir()
        pq.write_table(table, tmp_path / name / "part.parquet", row_group_size=1)
    found = {row["name"]: row for row in rows(source.read(str(tmp_path)))}
    assert {name: row["file"] for name, row in found.items()} == {
        "Mug": picture(1),
        "Jug": b"",
        "Cap": picture(3),
        "Hat": picture(4),
        "Tie": picture(5),
    }
    assert (found["Mug"]["id"], found["Mug"]["group"], found["Jug"]["cutout"]) == ("x", "g", picture(2, True))


@pytest.mark.parametrize("kind", ["parquet", "bytes", "saved"])
def test_lists_of_photos_are_rows_of_one_product(tmp_path: Path, kind: str) -> None:
    lists = [[picture(1), picture(2)], [], [picture(3)]]
    columns = {"id": ["a", "b", "c"], "title": ["Mug", "Jug", "Pot"], "category": ["Cups"] * 3}
    if kind == "bytes":
        table = pa.table({**columns, "images": lists})
        pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    else:
        features = {name: datasets.Value("string") for name in columns} | {"images": [datasets.Image()]}
        structs = [[{"bytes": one, "path": None} for one in some] for some in lists]
        data = datasets.Dataset.from_dict({**columns, "images": structs}, features=datasets.Features(features))
        data.save_to_disk(tmp_path) if kind == "saved" else data.to_parquet(tmp_path / "a.parquet", batch_size=2)
    found = source.read(str(tmp_path))
    rows = found.rows.to_pylist()
    assert [(row["id"], row["group"], row["reason"]) for row in rows] == [
        ("a", "a", None),
        ("a-2", "a", None),
        ("b", None, "empty file: the row names no picture"),
        ("c", "c", None),
    ]
    with PictureReader(found.root, 1 << 20) as reader:
        shown = [reader.read(row["file"]) for row in sorted(rows, key=lambda row: position(row["file"])) if row["file"]]
    assert shown == [picture(1), picture(2), picture(3)]


def test_the_mask_of_a_list_of_photos_is_the_firsts(tmp_path: Path) -> None:
    columns = {"name": ["Mug"], "category": ["Cups"], "images": [[picture(1), picture(2)]], "mask": [picture(3)]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    first, second = source.read(str(tmp_path)).rows.to_pylist()
    assert first["mask"] == "a.parquet::0/0/mask" and second["mask"] is None and second["group"] == first["group"]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


@pytest.mark.parametrize("kind", ["bytes", "parquet", "saved", "paths", "some paths"])
def test_rows_of_tables_without_ids_are_known_by_their_pictures(tmp_path: Path, kind: str) -> None:
    def read(levels: list[int], parts: int) -> list[dict[str, Any]]:
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        (tmp_path / "data").mkdir()
        columns = {"name": [f"Mug {level}" for level in levels], "category": ["Cups"] * len(levels)}
        paths = {"paths": str, "some paths": lambda level: "ab"[level > 2]}.get(kind, lambda level: None)
        cells = [{"bytes": picture(level), "path": paths(level)} for level in levels]
        if kind == "saved":
            features = {name: datasets.Value("string") for name in columns} | {"image": datasets.Image()}
            data = datasets.Dataset.from_dict({**columns, "image": cells}, features=datasets.Features(features))
            data.save_to_disk(tmp_path / "data" / "set", num_shards=parts)
        else:
            images = pa.array([one["bytes"] for one in cells]) if kind == "bytes" else pa.array(cells, IMAGE)
            table = pa.table({**columns, "image": images})
            for k in range(parts):
                pq.write_table(table.slice(k * 2, 2), tmp_path / "data" / f"{k}.parquet", row_group_size=1)
        return rows(source.read(str(tmp_path / "data")))

    first, later = read([1, 2], 1), read([3, 1, 2], 2)
    expected = {
        "paths": lambda level: digest(b"%d" % level),
        "some paths": lambda k: digest(b"b" if k == 3 else picture(k)),
    }
    id_of = expected.get(kind, lambda level: digest(picture(level)))
    assert [(row["id"], row["name"], row["file"]) for row in later] == [
        (id_of(level), f"Mug {level}", picture(level)) for level in (3, 1, 2)
    ]
    if kind != "some paths":
        assert [row["id"] for row in first] == [id_of(1), id_of(2)]


def test_a_picture_that_a_table_without_ids_has_twice_is_one_row(tmp_path: Path) -> None:
    columns = {"name": ["Mug", "Mug", "Jug"], "category": ["Cups"] * 3}
    pq.write_table(pa.table({**columns, "image": [picture(k) for k in (1, 2, 1)]}), tmp_path / "a.parquet")
    found = source.read(str(tmp_path)).rows.to_pylist()
    assert [row["reason"] for row in found] == [None, None, repeats.ID]


def test_rows_with_ids_keep_them_and_lists_without_are_known_by_their_photos(tmp_path: Path) -> None:
    lists = [[picture(1), picture(2)], [picture(3)], [], None]
    columns = {"id": ["x", None, None, None], "name": ["Mug", "Jug", "Pot", "Pan"], "category": ["Cups"] * 4}
    pq.write_table(pa.table({**columns, "images": lists}), tmp_path / "a.parquet")
    found = source.read(str(tmp_path)).rows.to_pylist()
    three = digest(picture(3))
    assert [(row["id"], row["group"]) for row in found[:3]] == [("x", "x"), ("x-2", "x"), (three, three)]
    assert [row["reason"] for row in found[3:]] == ["empty file: the row names no picture"] * 2


def test_lists_of_masks_are_one_line(tmp_path: Path) -> None:
    columns = {"name": ["Mug"], "category": ["Cups"], "image": [picture(1)], "mask": [[picture(2)]]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="has lists of pictures as mask; only photos may be several a row"):
        source.read(str(tmp_path))


def test_folders_of_classes(tmp_path: Path) -> None:
    files = {
        "train/red_mugs/1.png": picture(1),
        "test/bags/x.png": picture(2),
        "test/bags/x_mask.png": picture(0),
        "loose.png": b"",
    }
    found = source.read(str(write(tmp_path, files)))
    assert shown(found) == [(picture(2), "bags", "bags"), (picture(1), "red mugs", "red mugs")]
    assert rows(found)[0]["mask"] == picture(0)
    assert found.notes[1:] == ["1 pictures in source have no row, such as loose.png"]


def test_a_mask_without_its_photo_is_no_photo_where_others_have_theirs(tmp_path: Path) -> None:
    files = {
        **{"mugs/1.jpg": picture(1), "mugs/1_Mask.png": picture(0), "mugs/2_mask.png": picture(0)},
        **{"mugs/gas_mask.jpg": picture(3), "mugs/gas_mask_mask.png": picture(4), "mugs/5_cutout.png": picture(5)},
    }
    found = source.read(str(write(tmp_path / "masks", files)))
    assert [(row["file"], row["mask"]) for row in found.rows.to_pylist() if not row["reason"]] == [
        ("mugs/1.jpg", "mugs/1_Mask.png"),
        ("mugs/5_cutout.png", None),
        ("mugs/gas_mask.jpg", "mugs/gas_mask_mask.png"),
    ]
    assert [(row["file"], row["reason"]) for row in found.rows.to_pylist() if row["reason"]] == [
        ("mugs/2_mask.png", "file missing: it is a mask by its name, and its photo mugs/2 is not beside it")
    ]
    costumes = {"masks/gas_mask.jpg": picture(1), "masks/face_mask.jpg": picture(2)}
    assert len(shown(source.read(str(write(tmp_path / "none", costumes))))) == 2


def test_photos_whose_names_differ_by_their_ends_alone_are_a_row_each(tmp_path: Path) -> None:
    files = {"mugs/1.jpg": picture(1), "mugs/1.png": picture(2)}
    found = source.read(str(write(tmp_path, files)))
    assert shown(found) == [(picture(1), "mugs", "mugs"), (picture(2), "mugs", "mugs")] and len(found.notes) == 1


def test_files_whose_names_are_as_of_what_lies_in_an_archive(tmp_path: Path) -> None:
    files = {f"mugs/shop{number}.png": picture(3) for number in ("::1", "::2", 3)}
    found = source.read(str(write(tmp_path, files)))
    assert shown(found) == [(picture(3), "mugs", "mugs")]
    assert found.notes[0].startswith("2 files are left out because their names have ::, such as mugs/shop::")


def test_files_whose_names_are_not_utf8(tmp_path: Path) -> None:
    write(tmp_path / "photos", {"Cups/a.png": picture(1), "Cups/b.png": picture(2)})
    (tmp_path / "photos/Cups/b.png").rename(tmp_path / "photos/Cups/caf\udce9.png")  # the byte E9
    found = source.read(str(tmp_path / "photos"))
    assert shown(found) == [(picture(1), "Cups", "Cups")]
    assert [(row["file"], row["reason"][:13]) for row in found.rows.to_pylist() if row["reason"]] == [
        ("Cups/caf\ufffd.png", "bad file name")
    ]
    write(tmp_path, {"list.csv": "file,name,category\nCups/a.png,Mug,Cups\n"})
    found = source.read(str(tmp_path / "photos"), str(tmp_path / "list.csv"))
    assert found.notes == ["1 pictures in source have no row, such as Cups/caf\ufffd.png"]
    # In a tar, a file is read by its place: whatever its name, it is there.
    tarred(tmp_path / "0.tar", {"caf\udce9.png": picture(3), "caf\udce9.json": '{"name": "Mug", "category": "Cups"}'})
    assert shown(source.read(str(tmp_path / "0.tar"))) == [(picture(3), "Mug", "Cups")]


def test_an_image_folders_metadata_counts_from_its_own_folder(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"file_name": f"{n}.png", "text": f"Mug {n}"}) + "\n" for n in (1, 2))
    files = {f"{split}/{n}.png": picture(n) for split in ("train", "test") for n in (1, 2)}
    write(tmp_path, files | {"train/metadata.jsonl": lines, "test/metadata.csv": "file_name,text\n1.png,Cup 1\n"})
    found = source.read(str(tmp_path), category="Cups")
    assert [(row["file"], row["name"]) for row in rows(found)] == [
        (picture(1), "Cup 1"),
        (picture(1), "Mug 1"),
        (picture(2), "Mug 2"),
    ]
    assert [row["file"] for row in found.rows.to_pylist()] == ["test/1.png", "train/1.png", "train/2.png"]


def test_webdataset_tars(tmp_path: Path) -> None:
    tarred(tmp_path / "0.tar", {
        "shop/a.jpg": picture(1), "shop/a.json": json.dumps({"title": "Mug <b>new</b>", "category": "Cups", "sku": 12}),
        "shop/b.image.png": picture(2), "shop/b.mask.png": picture(0), "shop/b.txt": "Jug\n", "shop/b.cls": "Cups",
        "broken.png": picture(3), "broken.json": "{",
        "alone.json": "{}"})  # fmt: skip
    tarred(tmp_path / "1.tar", {"a.png": picture(4), "a.cls": "Bags"})
    found = source.read(str(tmp_path))
    assert shown(found) == [(picture(1), "Mug new", "Cups"), (picture(2), "Jug", "Cups"), (picture(4), "Bags", "Bags")]
    assert [(row["group"], row["mask"]) for row in rows(found)][:2] == [("12", None), (None, picture(0))]
    reasons = {row["origin"]: row["reason"].partition(": ")[0] for row in found.rows.to_pylist() if row["reason"]}
    assert reasons == {"0.tar broken": "bad row", "0.tar alone": "empty file"}


def test_the_files_of_a_sample_may_lie_apart_in_a_tar(tmp_path: Path) -> None:
    tarred(tmp_path / "0.tar", {
        "10.png": picture(1), "9.png": picture(2), "10.json": '{"name": "Mug", "category": "Cups"}',
        "9.mask.png": picture(0), "9.json": '{"name": "Jug", "category": "Cups"}',
        "10.cutout.png": picture(5, True)})  # fmt: skip
    found = source.read(str(tmp_path))
    assert shown(found) == [(picture(1), "Mug", "Cups"), (picture(2), "Jug", "Cups")]
    beside = [(row["mask"], row["cutout"]) for row in rows(found)]
    assert beside == [(None, picture(5, True)), (picture(0), None)]
    assert found.rows["reason"].null_count == 2


@pytest.mark.parametrize("kind", ["jfif", "JPEG", "tif", "heic", "heif"])
def test_a_photo_in_a_tar_is_known_by_any_name_that_it_has_in_a_folder(tmp_path: Path, kind: str) -> None:
    tarred(tmp_path / "0.tar", {f"a.{kind}": picture(0), "a.cls": "Cups"})
    assert shown(source.read(str(tmp_path))) == [(picture(0), "Cups", "Cups")]


def test_which_of_two_pictures_in_a_tar_is_the_photo_is_not_guessed(tmp_path: Path) -> None:
    tarred(tmp_path / "0.tar", {
        "a.png": picture(0), "a.jpg": picture(1), "a.cls": "Cups", "b.jpg": picture(2), "b.cls": "Cups"})  # fmt: skip
    found = source.read(str(tmp_path))
    assert shown(found) == [(picture(2), "Cups", "Cups")]
    assert [row["reason"] for row in found.rows.to_pylist() if row["reason"]] == [
        "bad row: png and jpg may both be its photo; keep one, and call a mask mask.png"
    ]


def test_a_tar_that_is_cut_off_gives_what_is_whole_and_says_so(tmp_path: Path) -> None:
    whole = tarred(
        tmp_path / "0.tar",
        {f"{n}.{kind}": content for n in range(3) for kind, content in (("png", picture(n)), ("cls", "Cups"))},
    ).read_bytes()
    for length, left in ((len(whole), 3), (4 * 1024 + 700, 2), (4 * 1024 + 100, 2), (4 * 1024, 2)):
        (tmp_path / "0.tar").write_bytes(whole[:length])
        found = source.read(str(tmp_path))
        assert [row["file"] for row in rows(found)] == [picture(n) for n in range(left)]
        aside = [row["reason"] for row in found.rows.to_pylist() if row["reason"] and row["id"].endswith("::")]
        assert len(aside) == (left < 3) and all("cut off" in reason for reason in aside), length


BG60K = {f"bg60k_imgs_{n % 10}/{n}.png": picture(n) for n in (0, 7, 13)} | {
    f"bg60k_masks_{n % 10}/{n}_mask.png": picture(100 + n, True) for n in (0, 7)
}
INFO = "0.png\trefrigerator\n13.png\tfabric sofa\n7.png\tfabric sofa\n24.png\tlamp\nbroken\n"


@pytest.mark.parametrize("kind", ["folders", "zips", "folder above"])
def test_bg60k_as_published(tmp_path: Path, kind: str) -> None:
    if kind == "zips":
        for folder in {name.partition("/")[0] for name in BG60K}:
            zipped(
                tmp_path / f"{folder}.zip",
                {name: content for name, content in BG60K.items() if name.startswith(f"{folder}/")},
            )
    else:
        write(tmp_path / ("BG60k" if kind == "folder above" else ""), BG60K)
    write(tmp_path, {"bg60k_info.txt": INFO})
    found = source.read(str(tmp_path))
    table = {row["id"]: row for row in found.rows.to_pylist()}
    assert list(table) == ["bg60k-0", "bg60k-13", "bg60k-7", "bg60k-24", "bg60k-line-5"]
    assert table["bg60k-line-5"]["reason"] == "bad row: 1 fields"
    with PictureReader(found.root, 1 << 20) as reader:
        for n, category in ((0, "refrigerator"), (7, "fabric sofa")):
            row = table[f"bg60k-{n}"]
            assert (row["name"], row["category"], row["group"]) == (category, category, None)
            assert reader.read(row["file"]) == picture(n) and reader.read(row["cutout"]) == picture(100 + n, True)
    # What is not there is named, and set aside when it is opened.
    assert (
        table["bg60k-24"]["file"] == "bg60k_imgs_4/24.png"
        and table["bg60k-13"]["cutout"] == "bg60k_masks_3/13_mask.png"
    )


PAIRS = "1.png\t2.png\tsofa\n3.png\t2.png\tsofa\n2.png\t0.png\tlamp\nbroken\n1.png\t2.png\tsofa\n4.png\t1.png\tvase\n"
BG1K = {f"bg1k_imgs_{n % 10}/{n}.png": picture(n) for n in range(5)}


def test_a_picture_of_several_pairs_is_one_row(tmp_path: Path) -> None:
    """As a product in one pair and the reference in others; its category is that of the line where it's the product."""
    write(tmp_path, BG1K | {"bgpair_info.txt": PAIRS})
    found = source.read(str(tmp_path), str(tmp_path / "bgpair_info.txt"))
    table = [row for row in found.rows.to_pylist() if row["reason"] is None]
    assert [(row["id"], row["name"], row["file"]) for row in table] == [
        ("bg1k-1", "sofa", "bg1k_imgs_1/1.png"),
        ("bg1k-3", "sofa", "bg1k_imgs_3/3.png"),
        ("bg1k-2", "lamp", "bg1k_imgs_2/2.png"),
        ("bg1k-4", "vase", "bg1k_imgs_4/4.png"),
        ("bg1k-0", "lamp", "bg1k_imgs_0/0.png"),
    ]
    aside = [(row["id"], row["origin"], row["reason"]) for row in found.rows.to_pylist() if row["reason"]]
    assert aside == [
        ("bgpair-4", "bgpair_info.txt line 4", "bad row: 1 fields"),
        ("bgpair-5", "bgpair_info.txt line 5", "repeated pair: line 1 has it"),
    ]
    assert list(found.pairs) == [
        Pair("bgpair-1", "bg1k-1", "bg1k-2", "sofa"),
        Pair("bgpair-2", "bg1k-3", "bg1k-2", "sofa"),
        Pair("bgpair-3", "bg1k-2", "bg1k-0", "lamp"),
        Pair("bgpair-4", category="broken", reason="bad row: 1 fields"),
        Pair("bgpair-5", "bg1k-1", "bg1k-2", "sofa", "repeated pair: line 1 has it"),
        Pair("bgpair-6", "bg1k-4", "bg1k-1", "vase"),
    ]
    assert "has 6 lines" in found.notes[0]


def test_pairs_beside_the_list_of_their_pictures(tmp_path: Path) -> None:
    """The rows are those of that list, whose folder may come later; a picture that only a pair has is one more."""
    write(tmp_path / "a", {"bgpair_info.txt": PAIRS})
    write(tmp_path / "b", BG1K | {"bg1k_info.txt": "".join(f"{n}.png\tchair\n" for n in (0, 1, 2, 3))})
    found = source.read(str(tmp_path))
    table = [row for row in found.rows.to_pylist() if row["reason"] is None]
    assert [(row["id"], row["name"]) for row in table] == [
        *((f"bg1k-{n}", "chair") for n in (0, 1, 2, 3)),
        ("bg1k-4", "vase"),
    ]
    assert [pair.reference for pair in found.pairs] == ["bg1k-2", "bg1k-2", "bg1k-0", "", "bg1k-2", "bg1k-1"]


def test_pictures_whose_names_differ_in_their_ending_are_two(tmp_path: Path) -> None:
    files = {"bg1k_imgs_1/1.png": picture(1), "bg1k_imgs_1/1.jpg": picture(2), "bg1k_imgs_2/2.png": picture(3)}
    write(tmp_path, files | {"bgpair_info.txt": "1.png\t1.jpg\tsofa\n1.jpg\t2.png\t<b></b>\n1.jpg\t./2.png\tsofa\n"})
    found = source.read(str(tmp_path))
    usable = [row for row in found.rows.to_pylist() if row["reason"] is None]
    assert [row["id"] for row in usable] == ["bg1k-1", "bg1k-1.jpg", "bg1k-2"]
    assert [(pair.picture, pair.reference, pair.reason) for pair in found.pairs] == [
        ("bg1k-1", "bg1k-1.jpg", None),
        ("", "", "empty category"),
        ("bg1k-1.jpg", "bg1k-2", None),
    ]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a.png": b""}, "has 1 pictures, and no list"),
        ({}, "has 0 pictures, and no list"),
        (
            {"a/bgpair_info.txt": PAIRS, "b/bgpair_info.txt": PAIRS},
            r"several lists of pairs \(a/bgpair_info.txt, b/bgpair_info.txt\); say which by names=",
        ),
        ({"a.csv": CSV, "b.csv": CSV}, r"several lists \(a.csv, b.csv\); say which by names="),
        ({"a.csv": "file,name,category\n"}, "has no rows"),
        (
            {"a.csv": "Title,Type,Image Src\n" + "Mug,Cups,https://example.com/a.png\n" * 2},
            "none of 2 rows can be used; line 2: outside the folder: a URL, and nothing is fetched; save the picture",
        ),
        (
            {"a.tar": b"cut off"},
            "none of 1 rows can be used; a.tar: unreadable: no uncompressed tar, or one that is cut",
        ),
        ({"a.parquet": b"PAR1 cut off"}, "no Parquet or Arrow file"),
        ({"a.zip": b"PK\x03\x04 cut off"}, "no zip, or one that is cut off"),
        ({"a.json": "[1,"}, "no JSON"),
        ({"x/metadata.csv": "file_name,text\na.png,Mug\n"}, "lacks the column category"),
    ],
)
def test_what_can_not_be_read_is_one_line(tmp_path: Path, files: dict[str, bytes | str], says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        source.read(str(write(tmp_path, files)))
    assert "\n" not in str(error.value)


def test_a_source_that_is_none(tmp_path: Path) -> None:
    write(tmp_path, {"a.tgz": b"", "a.txt": b"", "a.png": b""})
    for location, names, says in (
        ("nowhere", "", "is not there; it is a folder of photos"),
        ("a.tgz", "", "packed so that nothing in it can be read by itself"),
        ("a.png", "", "a file, and no zip, tar, Parquet or Arrow file"),
        (".", "none.csv", "none.csv is not there; it is a list with the columns"),
        (".", ".", "is a folder, not a file"),
    ):
        with pytest.raises(UserError, match=says):
            source.read(os.path.normpath(tmp_path / location), os.path.normpath(tmp_path / names) if names else "")


def test_broken_lines_of_json_are_set_aside(tmp_path: Path) -> None:
    write(tmp_path, TWO | {"list.jsonl": LINES + '{"file": "a.png"\n[1]\n'})
    found = source.read(str(tmp_path), str(tmp_path / "list.jsonl"))
    assert shown(found) == MUG_AND_JUG
    aside = [(row["origin"], row["reason"]) for row in found.rows.to_pylist() if row["reason"]]
    assert [origin for origin, _ in aside] == ["line 4", "line 5"] and all(
        r.startswith("bad row: no JSON") for _, r in aside
    )


def test_a_bucket_is_read_as_a_folder_is(s3_bucket: Any, tmp_path: Path) -> None:
    write(tmp_path, {"csv/photos/a.png": picture(1), "csv/photos/b/C.png": picture(2)})
    (tmp_path / "zip").mkdir()
    zipped(tmp_path / "zip" / "photos.zip", TWO | {"list.csv": CSV})
    (tmp_path / "tar").mkdir()
    tarred(tmp_path / "tar" / "0.tar", {"a.png": picture(1), "a.json": '{"name": "Mug", "category": "Cups"}'})
    (tmp_path / "table").mkdir()
    pq.write_table(
        pa.table({"image": [picture(1)], "name": ["Mug"], "category": ["Cups"]}), tmp_path / "table" / "a.parquet"
    )
    shop, names = f"{s3_bucket.uri}/shop", f"{s3_bucket.uri}/list.csv"
    folders.put_folder(str(tmp_path), shop)
    locations.write_text(names, CSV)
    assert shown(source.read(f"{shop}/csv/photos", names)) == MUG_AND_JUG
    assert shown(source.read(f"{shop}/zip/photos.zip")) == MUG_AND_JUG
    for kind in ("tar", "table"):
        assert shown(source.read(f"{shop}/{kind}")) == MUG_AND_JUG[:1]
    with PictureReader(f"{shop}/csv/photos", 10) as reader, pytest.raises(ImageError, match="file missing"):
        reader.read("none.png")


class Refusing(BaseHTTPRequestHandler):
    """An S3 server that grants nothing."""

    def do_HEAD(self) -> None:
        self._refuse(b"")

    def do_GET(self) -> None:
        self._refuse(b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")

    def _refuse(self, body: bytes) -> None:
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Print nothing."""


def test_a_bucket_without_rights_is_one_line(tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    s3 = fsspec.get_filesystem_class("s3")
    names = str(write(tmp_path, {"list.csv": CSV}) / "list.csv")
    own = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}
    try:
        with variables(own | {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}):
            s3.clear_instance_cache()
            with pytest.raises(UserError, match=r"source .*s3://closed/photos.* may not be read: .*; check"):
                source.read("s3://closed/photos", names)
    finally:
        server.shutdown()
        server.server_close()
        s3.clear_instance_cache()


def test_rows_of_one_archive_or_row_group_are_read_together() -> None:
    places = ("a/b.png", "a.zip::b/c.png", "x/a.tar::512+7/c.png", "a.parquet::2/7/image")
    assert [chunk(place) for place in places] == ["a/b.png", "a.zip", "x/a.tar", "a.parquet/2"]
