"""Tables of text: whatever the csv module writes is read as it was."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.data.sources import delimited
from p2i_ray.errors import UserError

FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)


@given(
    rows=st.lists(st.tuples(st.just("a.png"), FIELD, FIELD), min_size=1, max_size=6),
    separator=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_is_written_is_read(
    rows: list[tuple[str, str, str]], separator: str, end: str, encoding: str, quoting: int
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([("file", "name", "category"), *rows])
    table = delimited.parse(out.getvalue().encode(encoding), "names.csv")
    assert (table.header, table.separator) == (["file", "name", "category"], separator)
    assert [tuple(record.fields) for record in table.records()] == rows


@given(st.binary(max_size=200))
def test_any_bytes_give_a_table_or_one_line(content: bytes) -> None:
    try:
        table = delimited.parse(content, "names.csv")
        assert all(record.fields for record in table.records())
    except delimited.UserError as error:
        assert "\n" not in str(error)


def test_a_record_knows_its_lines() -> None:
    table = delimited.parse(b'file,name,category\n\na,"b\nc",d\ne,f"" g,h\ni,"j" k",l\n', "names.csv")
    assert [(record.line, record.end, record.fields[1]) for record in table.records()] == [
        (3, 4, "b\nc"),
        (5, 5, 'f"" g'),
        (6, 6, 'j" k'),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "See also front.jpg, back.jpg, side.jpg, top.jpg",
        "front.jpg,back.jpg,side.jpg,top.jpg",
        '<p style="font-family: Arial, Helvetica, sans-serif, x">Big <img src="x.jpg"></p>',
        "a.jpg,Mug,Cups",  # a field less than the header has
        "a.jpg,Mug,Cups,x,y",  # and one more
        "now a.jpg too,Mug,Cups,x",
    ],
)
def test_a_line_of_a_description_is_no_row_that_a_quote_swallowed(line: str) -> None:
    out = io.StringIO()
    rows = [["a.jpg", "Mug", "Cups", f"Nice.\n{line}"], ["b.jpg", "Jug", "Cups", "x"]]
    csv.writer(out).writerows([["file", "name", "category", "description"], *rows])
    table = delimited.parse(out.getvalue().encode(), "names.csv")
    assert [record.fields for record in table.records()] == rows


@pytest.mark.parametrize("line", ["b.jpg,Jug,Cups,x", "b c.jpg,Jug,Cups,", "https://x.com/b.jpg?v=1,Jug,Cups,x,,"])
def test_a_row_that_a_quote_swallowed_is_found(line: str) -> None:
    text = f'file,name,category,description\na.jpg,"Mug,Cups,x\n{line}\nc.jpg,Pan",Pans,x\n'
    with pytest.raises(UserError, match=r"line 2: a quote .* holds whole rows"):
        list(delimited.parse(text.encode(), "names.csv").records())
