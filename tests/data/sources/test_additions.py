"""What is new in a source, and what is there."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from p2i_ray.data import writing
from p2i_ray.data.schema import REJECTED, REJECTED_SCHEMA
from p2i_ray.data.sources import additions, free_ids, ledger, tasks
from p2i_ray.data.sources.rows import Row, to_table
from p2i_ray.errors import UserError
from p2i_ray.storage import folders, locations


def lines(rows: pa.Table) -> pa.Table:
    """The ledger's, of rows that are all in train."""
    count = rows.num_rows
    for name, values in {"fingerprint": [b""], "scene": [True], "product": ["p"], "split": ["train"]}.items():
        rows = rows.append_column(name, pa.array(values * count))
    return additions.as_lines(rows).cast(ledger.schema())


def test_rows_are_known_by_their_ids_and_pictures() -> None:
    before = lines(to_table([Row("a.jpg", "Mug", "Cup", id="1"), Row("", "Bag", "Bag", id="2", cutout="b.png")]))
    now = to_table(
        [
            Row("a.jpg", "Mug", "Cup", id="1"),
            Row("c.jpg", "Mug", "Cup", id="3"),
            Row("", "Bag", "Bag", id="4", cutout="b.png"),
        ]
    )
    found = additions.divide(now, before)
    assert [now.filter(part)["id"].to_pylist() for part in found] == [["3"], ["1", "4"], []]
    assert additions.changed(now.filter(found.there), before).num_rows == 0 and additions.gone(now, before) == 0
    assert additions.gone(now.slice(0, 2), before) == 1


def test_a_picture_in_front_of_those_that_are_there_is_new_under_a_free_id() -> None:
    before = lines(to_table([Row("a.jpg", "Mug", "Cup", id="7"), Row("b.jpg", "Mug", "Cup", id="7-2")]))
    now = to_table(Row(f"{k}.jpg", "Mug", "Cup", id=id) for k, id in zip("cabd", ("7", "7-2", "7-3", "8"), strict=True))
    found = additions.divide(now, before)
    assert [now.filter(part)["file"].to_pylist() for part in found] == [
        ["c.jpg", "d.jpg"],
        ["a.jpg", "b.jpg"],
        ["c.jpg"],
    ]
    assert free_ids.given(now, found.taken, before)["id"].to_pylist() == ["7-4", "7-2", "7-3", "8"]
    assert additions.changed(now.filter(found.there), before).num_rows == 0 and additions.gone(now, before) == 0


def test_a_photo_that_replaces_another_under_its_id_is_the_row_that_is_there() -> None:
    before = lines(to_table([Row("old.jpg", "Mug", "Cup", id="7"), Row("b.jpg", "Mug", "Cup", id="8")]))
    now = to_table([Row("new.jpg", "Mug", "Cup", id="7"), Row("b.jpg", "Cup", "Cup", id="9")])
    found = additions.divide(now, before)
    assert found.there.to_pylist() == [True, True] and not any(found.taken.to_pylist())
    changed = additions.changed(now, before).to_pylist()
    assert [(line["id"], line["file"], line["name"]) for line in changed] == [
        ("7", "new.jpg", "Mug"),
        ("8", "b.jpg", "Cup"),
    ]


def test_a_row_that_has_changed_is_counted() -> None:
    before = lines(to_table([Row("a.jpg", "Mug", "Cup", id="1"), Row("b.jpg", "Mug", "Cup", id="2")]))
    now = to_table([Row("a.jpg", "Red Mug", "Cup", id="1"), Row("b.jpg", "Mug", "Cup", id="2")])
    (line,) = additions.changed(now.filter(additions.divide(now, before).there), before).to_pylist()
    assert (line["id"], line["name"], line["product"], line["split"]) == ("1", "Red Mug", "p", "train")


def test_a_mask_or_cutout_that_comes_later_is_counted() -> None:
    def rows(**beside: str) -> list[Row]:
        kept = Row("k.jpg", "Bag", "Bag", id="2", mask="k.png", cutout="k-cut.png")
        cell = Row("t.parquet::3::image", "Hat", "Hat", id="3", mask="t.parquet::3::mask")
        return [Row("a.jpg", "Mug", "Cup", id="1", **beside), kept, cell]

    before, unknown = lines(to_table(rows())), pa.nulls(3, pa.string())
    for later in ({"mask": "a.png"}, {"cutout": "a-cut.png"}):
        (line,) = additions.changed(to_table(rows(**later)), before).to_pylist()
        assert line["id"] == "1" and {name: line[name] for name in later} == later
    assert additions.changed(to_table(rows()), lines(to_table(rows(mask="a.png")))).num_rows == 1  # it was taken away
    moved = [*rows()[:2], Row("t.parquet::4::image", "Hat", "Hat", id="3", mask="t.parquet::4::mask")]
    assert additions.changed(to_table(moved), before).num_rows == 0
    for name in ledger.BESIDE:  # an earlier version's line doesn't say
        before = before.set_column(before.column_names.index(name), name, unknown)
    assert additions.changed(to_table(rows(mask="a.png")), before).num_rows == 0


def test_rejected_rows_that_the_list_no_longer_has_stay(tmp_path: Path) -> None:
    rows = to_table([Row("a.jpg", "Mug", "Cup", id="1"), Row("b.jpg", "Bag", "Bag")])
    assert not additions.rejected_elsewhere(rows, str(tmp_path)).num_rows
    # The first has another file in the list now, the second has got an id there.
    old = [
        {"id": id, "source": source, "reason": "unreadable: x"}
        for id, source in (("1", "names.csv line 9"), ("x", "b.jpg"), ("2", "2.jpg"))
    ]
    shard = writing.write_shard(old, str(tmp_path / REJECTED), REJECTED_SCHEMA)
    assert folders.names(str(tmp_path / REJECTED), ".parquet") == [shard]
    assert additions.rejected_elsewhere(rows, str(tmp_path)).to_pylist() == old[2:]


def test_rows_are_set_aside_by_what_names_them_first() -> None:
    rows = to_table(
        [
            Row("a.jpg", "", "Cup", id="1", cutout="b.png", origin="line 2"),
            Row("", "", "Cup", id="2", cutout="b.png", origin="line 3"),
            Row("", "Mug", "Cup", id="3", origin="line 4"),
            Row("", "Mug", "Cup", id="4"),
        ]
    )
    found = additions.aside(rows, rows["reason"]).to_pylist()
    assert found == [tasks.set_aside(row, row["reason"]) for row in rows.to_pylist()]
    assert [row["source"] for row in found] == ["a.jpg", "b.png", "line 4", ""]


def cells(*ids: str, first: int = 0) -> pa.Table:
    """Rows of a table, whose pictures lie in its rows from `first` on."""
    return to_table(Row(f"a.parquet::0/{first + k}/image", "Mug", "Cups", id=id) for k, id in enumerate(ids))


def test_rows_of_tables_are_known_by_their_ids_alone() -> None:
    before = lines(cells("a", "b"))
    now = cells("x", "a", "b")  # x lies where a lay
    divided = additions.divide(now, before)
    assert divided.new.to_pylist() == [True, False, False] and divided.there.to_pylist() == [False, True, True]
    assert not any(divided.taken.to_pylist())
    assert additions.changed(now.filter(divided.there), before).num_rows == 0


def test_rows_that_were_known_by_their_places_are_one_line(tmp_path: Path) -> None:
    def add(rows: pa.Table) -> str:
        out = str(tmp_path / rows["id"][0].as_py())
        writing.write_shard(lines(rows), locations.join(out, ledger.FOLDER), ledger.schema())
        return out

    by_place, by_picture = add(cells("", "")), add(cells("a", "b"))
    additions.check_ids(cells("x"), by_picture)
    additions.check_ids(to_table([Row("a.jpg", "Mug", "Cups")]), by_place)
    with pytest.raises(UserError, match=r"from a version that knew them by their places .* into a new folder"):
        additions.check_ids(cells("x"), by_place)
