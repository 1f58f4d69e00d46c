"""The categories of a split, from its category columns alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from p2i_ray.data import conform, footers
from p2i_ray.storage import locations

if TYPE_CHECKING:
    import pyarrow as pa

Found = TypeVar("Found")


def read(data: str, split: str) -> list[str]:
    """The categories, each once, in order of the alphabet; empty for rows that have none.

    Args:
        data: EPBD folder, a path or URI.
        split: its rows are looked at.

    Raises:
        UserError: no such folder or split, or a file's categories can't be read.
    """
    return sorted({category for found in of_files(data, split, ["category"], _distinct) for category in found})


def of_files(data: str, split: str, columns: list[str], look: Callable[[list[pa.ChunkedArray]], Found]) -> list[Found]:
    """Results of `look` for each file's columns of text, several files at once; all are checked first.

    Args:
        data: EPBD folder, a path or URI.
        split: its files are read.
        columns: that are read.
        look: called with a file's columns, as text.

    Raises:
        UserError: no such folder or split, or a file's columns can't be read.
    """
    files = footers.split_files(data, split)
    footers.each(files, lambda file, footer: footers.check(file, footer, columns))

    def one(file: str) -> Found:
        import pyarrow.parquet as pq

        filesystem, path = locations.open_location(file)
        table = pq.read_table(path, columns=columns, filesystem=filesystem)
        return look([conform.as_text(table[name]) for name in columns])

    with ThreadPoolExecutor(footers.AT_ONCE) as pool:
        return list(pool.map(one, files))


def _distinct(columns: list[pa.ChunkedArray]) -> list[str]:
    return [str(category) for category in columns[0].fill_null("").unique().to_pylist()]
