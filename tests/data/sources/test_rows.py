"""The table of a source's rows: every row with a reason or none, whatever stands in batches before it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.data.sources import repeats, rows
from p2i_ray.data.sources.rows import Row, to_table


def reasons(*given_rows: tuple[str, str]) -> list[str | None]:
    """Why rows of these files and ids are set aside."""
    found: list[str | None] = to_table(Row(file, "Mug", "Cup", id=id) for file, id in given_rows)["reason"].to_pylist()
    return found


def test_a_row_that_is_set_aside_is_none_to_repeat() -> None:
    assert reasons(("a", "1"), ("a", "2"), ("b", "2"), ("c", "1"), ("c", "3")) == [
        None,
        repeats.FILE,
        None,  # the second row is set aside, so its id is free
        repeats.ID,
        None,  # and so is the fourth's file
    ]
    assert reasons(("a", "1"), ("a", "1")) == [None, repeats.FILE]


def test_no_row_and_a_row_that_cannot_be_used() -> None:
    assert to_table([]).num_rows == 0 and to_table([]).schema == rows.SCHEMA
    table = to_table([Row("a", "", "Cup", id="1"), Row("a", "Mug", "Cup", id="1"), Row("", "Mug", "Cup", cutout="a")])
    assert table["reason"].to_pylist() == ["empty name", None, repeats.FILE]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=30))
def test_each_file_and_each_id_is_used_once(drawn: list[tuple[int, int]]) -> None:
    files: set[int] = set()
    ids: set[int] = set()
    expected: list[str | None] = []
    for file, id in drawn:  # one by one
        expected.append(repeats.FILE if file in files else repeats.ID if id in ids else None)
        if expected[-1] is None:
            files.add(file)
            ids.add(id)
    assert reasons(*((f"{file}.jpg", f"{id}") for file, id in drawn)) == expected


def test_many_rows_are_in_order_over_batches() -> None:
    count = 2 * rows.BATCH + 3
    table = to_table(Row(f"{row % (count - 1)}.jpg", f"Mug {row}", "Cup", id=f"{row}") for row in range(count))
    assert table["name"].to_pylist() == [f"Mug {row}" for row in range(count)]
    assert table["reason"].drop_null().to_pylist() == [table["reason"][count - 1].as_py()] == [repeats.FILE]


def test_text_that_is_not_utf8_is_replaced_and_a_file_of_such_a_name_set_aside() -> None:
    bad = "bad file name: it is not UTF-8, and can't be written down; rename the file"
    names = ("caf\udce9.jpg", "b.jpg", "c.jpg", "d.jpg")
    given = [
        Row(names[0], "Mug", "Cup", origin=names[0]),
        Row(names[1], "Mug \ud83d", "Cup", group="x\ud83d"),  # halves of an emoji
        Row(names[2], "Mug", "Cup", mask="m\udce9.png"),
        Row(names[3], "Mug", "Cup", id="4\ud83d"),
    ]
    table = to_table(given)
    assert table["file"].to_pylist() == ["caf\ufffd.jpg", *names[1:]] and table["mask"][2].as_py() == "m\ufffd.png"
    assert table["origin"][0].as_py() == "caf\ufffd.jpg"
    assert table["reason"].to_pylist() == [bad, None, bad, "bad id: it has control characters, or more than 256"]
    assert (table["name"][1].as_py(), table["group"][1].as_py()) == ("Mug", "x\ufffd")
    assert table["id"].to_pylist() == [*(rows.id_of(name) for name in names[:3]), "4\ufffd"]
