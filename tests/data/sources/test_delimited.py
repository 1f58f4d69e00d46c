"""Tables of text: whatever the csv module writes is read as it was."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.data.sources import delimited

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
