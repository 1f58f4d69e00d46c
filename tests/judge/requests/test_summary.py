"""Tally and examples of the summary prompt."""

from __future__ import annotations

import pyarrow as pa
import pytest

from p2i_ray.errors import UserError
from p2i_ray.judge.requests import summary

FLAWS = ("wrong scene", "plain background", "text overlay", "clutter", "blur")
SCHEMA = pa.schema(
    [("id", pa.string()), ("flaws", pa.list_(pa.string())), ("comment", pa.string()), ("error", pa.string())]
)


def critiques(*rows: tuple[list[str] | None, str | None, str | None]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {"id": f"r{i}", "flaws": flaws, "comment": comment, "error": error}
            for i, (flaws, comment, error) in enumerate(rows)
        ],
        schema=SCHEMA,
    )


def test_tally_counts_criticised_pictures_only_and_keeps_the_lists_order_in_ties() -> None:
    table = critiques(
        (["blur"], "a", None), (["blur", "clutter"], "b", None), ([], "fine", None), (None, None, "the image is empty")
    )
    assert summary.tally(table, FLAWS).splitlines() == [
        "blur: 67 %",
        "clutter: 33 %",
        "wrong scene: 0 %",
        "plain background: 0 %",
        "text overlay: 0 %",
    ]


def test_nothing_criticised_is_an_error_with_the_reason() -> None:
    with pytest.raises(UserError, match=r"none of 2 generated pictures.*the image is empty"):
        summary.tally(critiques((None, None, "the image is empty"), (None, None, "the image is empty")), FLAWS)
    with pytest.raises(UserError, match="none of 0"):
        summary.tally(critiques(), FLAWS)


def test_examples_show_flawed_pictures_first_on_a_line_each_whatever_the_rows_order() -> None:
    table = critiques(
        ([], "fine", None),
        (["blur"], "soft\nedges", None),
        (["blur"], "smeared", None),
        (None, None, "x"),
        ([], "", None),
    )
    shown = summary.examples(table, FLAWS, 10).splitlines()
    assert sorted(shown[:2]) == ["- smeared", "- soft edges"] and shown[2:] == ["- fine"]
    assert summary.examples(table.take([4, 3, 2, 1, 0]), FLAWS, 2).splitlines() == shown[:2]
    assert summary.examples(table, FLAWS, 0) == ""


def test_rare_flaws_have_examples_too() -> None:
    many = [(["blur"], f"soft {i}", None) for i in range(40)]
    table = critiques(
        *many, (["clutter", "blur"], "crowded", None), (["text overlay"], "a price", None), ([], "fine", None)
    )
    shown = summary.examples(table, FLAWS, 6).splitlines()
    assert shown[:2] == ["- a price", "- crowded"] and len(shown) == len(set(shown)) == 6
    assert summary.examples(table, FLAWS, 100).splitlines()[-1] == "- fine"
