"""Ids for new pictures whose own is that of another picture: lists number a product's pictures by their places."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from p2i_ray.data import mapped_rows
from p2i_ray.data.sources.rows import of_photo

if TYPE_CHECKING:
    import pyarrow as pa

NUMBERED = re.compile(r"(.+)-\d+")


def given(rows: pa.Table, taken: pa.ChunkedArray, before: pa.Table) -> pa.Table:
    """The rows, of which those whose id is taken have the first number of their product's that is free.

    Args:
        rows: of the source.
        taken: which have the id of another picture that is there.
        before: the ledger's lines.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    places = np.flatnonzero(taken.to_numpy())
    if not len(places):
        return rows
    found = pa.array(_free(mapped_rows.some(rows, places)["id"].to_pylist(), rows["id"], before["id"]), pa.string())
    pieces, start = [], 0
    for some, mask in zip(mapped_rows.pieces(rows["id"]), mapped_rows.pieces(taken), strict=True):
        count = pc.sum(mask).as_py() or 0
        pieces.append(pc.replace_with_mask(some.combine_chunks(), mask.combine_chunks(), found.slice(start, count)))
        start += count
    column = mapped_rows.column(pieces, pa.string())
    return rows.set_column(rows.column_names.index("id"), rows.schema.field("id"), column)


def _free(ids: Sequence[str], *known: pa.ChunkedArray) -> list[str]:
    """ID-2, ID-3, …, the first that nobody has, for each of these ids; one that is numbered itself goes on so."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def are_known(names: Sequence[str]) -> list[bool]:
        wanted = pa.array(names, pa.string())
        found = [pc.is_in(wanted, value_set=column).to_pylist() for column in known]
        return [any(some) for some in zip(*found, strict=True)]

    products = [match[1] if (match := NUMBERED.fullmatch(id)) else id for id in ids]
    products = [
        product if is_one else id for product, is_one, id in zip(products, are_known(products), ids, strict=True)
    ]
    found, given_now = [""] * len(ids), set[str]()
    waiting, number = list(range(len(ids))), 1
    while waiting:
        names = [of_photo(products[place], number) for place in waiting]
        left = []
        for place, name, is_known in zip(waiting, names, are_known(names), strict=True):
            if is_known or name in given_now:
                left.append(place)
            else:
                found[place] = name
                given_now.add(name)
        waiting, number = left, number + 1
    return found
