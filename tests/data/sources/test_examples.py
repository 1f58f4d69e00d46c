"""Which rows that were set aside are shown, and what of them."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.data.images import encode_png
from p2i_ray.data.sources import examples
from p2i_ray.data.sources.rows import Row, to_table
from p2i_ray.data.sources.tasks import KILLER, IngestConfig, Plan
from p2i_ray.storage import folders

KINDS = ("too plain", "file missing")


def source(count: int) -> tuple[pa.Table, list[dict[str, str]]]:
    rows = to_table([Row(f"{n}.png", f"Mug {n}", "Cup", id=f"{n}") for n in range(count)])
    rows = rows.append_column("row", pa.array(range(count), pa.int64()))
    return rows, [{"id": f"{n}", "reason": f"{KINDS[n % 2]}: {n} levels"} for n in range(count)]


def test_the_same_few_of_each_kind_in_any_order(tmp_path: Path) -> None:
    rows, aside = source(100)
    chosen = examples.choose(rows, aside)
    assert chosen.num_rows == 2 * examples.MOST
    kinds = [reason.partition(": ")[0] for reason in chosen["reason"].to_pylist()]
    assert [kinds.count(kind) for kind in KINDS] == [examples.MOST] * 2
    random.Random(0).shuffle(aside)
    assert examples.choose(rows, aside).equals(chosen)
    assert [len(part) for part in examples.slices(chosen)] == [examples.MOST] * 2
    assert examples.choose(rows, aside[:0]).num_rows == 0


def test_pictures_are_small_and_those_that_are_none_are_left_out(tmp_path: Path) -> None:
    photo = np.full((200, 400, 3), (250, 10, 10), np.uint8)
    clear = np.dstack([photo, np.zeros((200, 400), np.uint8)])
    for name, content in (("0.png", encode_png(photo)), ("1.png", b"text"), ("2.png", encode_png(clear))):
        (tmp_path / name).write_bytes(content)
    rows, aside = source(4)  # the last file is missing
    plan = Plan(str(tmp_path), str(tmp_path / "out"), settings=IngestConfig(), image=ImageConfig(), seed=0)
    lines = examples.make(examples.choose(rows, aside), plan)
    assert sorted(lines["row"].to_pylist()) == [0, 1, 2, 3]  # those without a picture, too
    examples.write([lines], str(tmp_path / "out"))
    made = {row["id"]: row for row in examples.read(str(tmp_path / "out")).to_pylist()}
    assert {id: (row["name"], row["reason"]) for id, row in made.items()} == {
        "0": ("Mug 0", "too plain: 0 levels"),
        "2": ("Mug 2", "too plain: 2 levels"),
    }
    with Image.open(io.BytesIO(made["0"]["image"]["bytes"])) as small, small.convert("RGB") as shown:
        assert (small.size, small.format) == ((128, 64), "WEBP")
        assert np.asarray(shown)[32, 64] == pytest.approx([250, 10, 10], abs=8)
    with Image.open(io.BytesIO(made["2"]["image"]["bytes"])) as small:
        assert small.mode == "RGBA"
    assert len(made["0"]["image"]["bytes"]) < 4000


def table(ids: list[str], reason: str, mark: bytes) -> pa.Table:
    rows = [{"id": id, "name": id, "reason": reason, "image": {"bytes": mark, "path": None}} for id in ids]
    return pa.Table.from_pylist(rows, schema=examples.EXAMPLES_SCHEMA)


def test_examples_of_rows_that_stay_set_aside_are_kept(tmp_path: Path) -> None:
    ids = [f"{n}" for n in range(examples.MOST)]
    (name,) = examples.write([table(ids, "too small: x", b"old")], str(tmp_path))
    assert folders.names(str(tmp_path / "rejected_examples")) == [name]
    old = examples.kept(str(tmp_path), pa.table({"id": ["1", "3", "elsewhere"]}))
    assert old["id"].to_pylist() == ["1", "3"]
    new = table(["3", "a", "b"], "too small: y", b"new")
    examples.write([new, old], str(tmp_path / "next"))
    marks = {row["id"]: row["image"]["bytes"] for row in examples.read(str(tmp_path / "next")).to_pylist()}
    assert marks == {"1": b"old", "3": b"new", "a": b"new", "b": b"new"}
    # As if all had come at once: the same rows, however they are divided.
    parts = [table([f"{n}" for n in range(start, 40, 4)], "too plain: x", b"") for start in range(4)]
    examples.write(parts, str(tmp_path / "one"))
    examples.write(parts[:2], str(tmp_path / "first"))
    examples.write([*parts[2:], examples.read(str(tmp_path / "first"))], str(tmp_path / "two"))
    one, two = (examples.read(str(tmp_path / name)) for name in ("one", "two"))
    assert one.num_rows == examples.MOST and one.equals(two)
    assert examples.write([examples.read(str(tmp_path / "none"))], str(tmp_path / "empty")) == []


def test_what_ends_its_reader_is_not_read_again() -> None:
    rows, aside = source(3)
    aside[1]["reason"] = f"{KILLER}: its files ended the process that read them"
    assert examples.choose(rows, aside)["id"].to_pylist() == ["0", "2"]
    lines = examples.without_picture(examples.choose(rows, aside).slice(1))
    assert lines["row"].to_pylist() == [2] and lines["image"].to_pylist() == [None]
