"""What the driver makes of rows, before and after their samples are made, over more rows than are in memory at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from p2i_ray.config import ImageConfig
from p2i_ray.config.seeds import seed_for
from p2i_ray.data.near_duplicates import BYTES
from p2i_ray.data.sources import bookkeeping, ledger
from p2i_ray.data.sources.reports import Reports
from p2i_ray.data.sources.rows import Row, to_table
from p2i_ray.data.sources.tasks import IngestConfig, Plan, report_schema
from p2i_ray.storage import spilled

MANY = spilled.ROWS + 100
SEED = 3


def source(count: int) -> list[Row]:
    """Every third row is a cutout alone; the last two can't be used, and repeat the first."""
    rows = [
        Row("" if k % 3 == 0 else f"{k}.jpg", f"Mug {k % 50}", f"Cups {k % 7}", id=f"{k}", cutout=f"{k}.png")
        for k in range(count - 2)
    ]
    return [*rows, Row("x.jpg", "", "Cups", id="x"), Row(rows[0].file, "Mug", "Cups", id="y", cutout=rows[0].cutout)]


def plan(**settings: Any) -> Plan:
    return Plan("/photos", "/out", settings=IngestConfig(**settings), image=ImageConfig(), seed=SEED)


def reported(rows: pa.Table, bad: int) -> pa.Table:
    """Lines of the rows: one in `bad` is set aside, and pictures are unlike each other."""
    count = rows.num_rows
    prints = np.random.default_rng(0).integers(0, 256, (count, BYTES), np.uint8)
    is_bad = [row % bad == 0 for row in range(count)]
    columns = {
        "row": rows["row"],
        "file": [f"part-{row // 128}" for row in range(count)],
        "place": pa.array(np.arange(count, dtype=np.int32) % 128, mask=np.array(is_bad)),
        "scene": [None if one else True for one in is_bad],
        "fingerprint": [None if one else prints[row].tobytes() for row, one in enumerate(is_bad)],
        "reason": ["unreadable" if one else None for one in is_bad],
    }
    reports = Reports(count)
    reports.add(pa.table(columns, schema=report_schema()))
    return reports.table()


@pytest.mark.parametrize("count", [5, MANY])
def test_rows_are_made_in_the_order_of_their_draws(count: int) -> None:
    rows = source(count)
    arranged = bookkeeping.arrange(to_table(rows), ledger.schema().empty_table(), SEED)
    files = {row.id: row.file or row.cutout for row in rows[:-2]}
    expected = sorted(files, key=lambda id: (seed_for(SEED, "order", files[id]), seed_for(SEED, "order", id)))
    assert arranged.new["id"].to_pylist() == expected
    assert arranged.new["row"].to_pylist() == [*range(count - 2)]
    assert [line["reason"].split(":")[0] for line in arranged.aside.to_pylist()] == ["empty name", "duplicate file"]
    slices = bookkeeping.slices(arranged.new, IngestConfig(rows_per_file=1000), at_once=2)
    assert [id for one in slices for id in one["id"].to_pylist()] == expected


@pytest.mark.parametrize(
    ("rows", "at_once", "sizes"),
    [(3, 2, [1, 1, 1]), (200, 2, [25] * 8), (4000, 2, [500] * 8), (4000, 8, [125] * 32), (5000, 2, [512] * 9 + [392])],
)
def test_each_place_gets_several_tasks_of_few_shards(rows: int, at_once: int, sizes: list[int]) -> None:
    slices = bookkeeping.slices(pa.table({"row": range(rows)}), IngestConfig(), at_once)
    assert [one.num_rows for one in slices] == sizes
    assert [row for one in slices for row in one["row"].to_pylist()] == [*range(rows)]


@pytest.mark.parametrize(("count", "bad"), [(20, 3), (MANY, 11), (MANY, MANY)])
def test_samples_that_are_made_go_to_the_ledger_and_into_shards(count: int, bad: int) -> None:
    before = ledger.schema().empty_table()
    arranged = bookkeeping.arrange(to_table(source(count)), before, SEED)
    ids = arranged.new["id"].to_pylist()
    disliked = {ids[1]: "ugly: 1", ids[2]: "ugly: 2"}
    report = reported(arranged.new, bad)
    settled = bookkeeping.settle(arranged, report, before, plan=plan(), disliked=disliked)
    made = [row for row in range(len(ids)) if row % bad and ids[row] not in disliked]
    lines = settled.lines.select(["id", "file", "scene"]).to_pylist()
    assert [line["id"] for line in lines] == [ids[row] for row in made]
    assert all(line["file"] == f"{line['id']}.{'png' if int(line['id']) % 3 == 0 else 'jpg'}" for line in lines)
    places = [(line["file"], line["place"]) for line in settled.samples.to_pylist()]
    assert places == [(f"part-{row // 128}", row % 128) for row in made]
    assert settled.samples["group"].to_pylist() == settled.lines["product"].to_pylist()
    assert [(line["id"], line["reason"]) for line in settled.aside.to_pylist()] == [*disliked.items()]
    shards = bookkeeping.shards(settled.samples, IngestConfig(rows_per_file=500))
    assert sum(one.num_rows for one in shards) == len(made) and all(
        len(set(one["split"].to_pylist())) == 1 for one in shards
    )


def test_rows_that_are_added_leave_those_that_are_there() -> None:
    rows, before = source(MANY), ledger.schema().empty_table()
    first = bookkeeping.arrange(to_table(rows[: MANY // 2]), before, SEED)
    lines = bookkeeping.settle(first, reported(first.new, MANY), before, plan=plan()).lines
    there = lines.cast(ledger.schema()).sort_by("id")
    rows = source(MANY)  # to_table changes them
    rows[1].name = "Jug"
    arranged = bookkeeping.arrange(to_table(rows), there, SEED)
    assert arranged.there == there.num_rows and arranged.new.num_rows == MANY - 2 - there.num_rows
    assert [(line["id"], line["name"]) for line in arranged.changed.to_pylist()] == [("1", "Jug")]
    settled = bookkeeping.settle(arranged, reported(arranged.new, MANY), there, plan=plan())
    splits = {line["product"]: line["split"] for line in there.to_pylist()}
    assert all(splits.get(line["product"], line["split"]) == line["split"] for line in settled.lines.to_pylist())
