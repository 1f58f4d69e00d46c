"""The longest product names of a split, from its name columns alone: what judges and encoders must have room for."""

from __future__ import annotations

import heapq
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from p2i_ray.data import conform, footers
from p2i_ray.storage import locations

if TYPE_CHECKING:
    import pyarrow.parquet as pq

NUMBER = 256  # enough that the one with the most tokens is among those with the most bytes


def read(data: str, split: str, max_chars: int, number: int = NUMBER) -> list[str]:
    """Names as they are, cut after max_chars characters: those with the most UTF-8 bytes, longest first.

    Args:
        data: EPBD folder, a path or URI.
        split: its rows are looked at.
        max_chars: characters of a name that count.
        number: at most so many names.

    Raises:
        UserError: no such folder or split, or a file's names can't be read.
    """
    files = footers.split_files(data, split)
    footers.each(files, _check)
    with ThreadPoolExecutor(footers.AT_ONCE) as pool:
        found = pool.map(lambda file: _longest(file, max_chars, number), files)
        return heapq.nlargest(number, {name for names in found for name in names}, key=_size)


def _check(file: str, footer: pq.FileMetaData) -> None:
    footers.check(file, footer, ["name"])


def _longest(file: str, max_chars: int, number: int) -> list[str]:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    filesystem, path = locations.open_location(file)
    names = conform.as_text(pq.read_table(path, columns=["name"], filesystem=filesystem)["name"]).drop_null().unique()
    cut = pc.utf8_slice_codeunits(names, 0, max_chars)
    order = pc.select_k_unstable(pc.binary_length(cut), number, sort_keys=[("size", "descending")])
    return [str(name) for name in cut.take(order).to_pylist()]


def _size(name: str) -> tuple[int, str]:
    return len(name.encode()), name
