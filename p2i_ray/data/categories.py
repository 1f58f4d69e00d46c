"""The categories of a split, from its category columns alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from p2i_ray.data import conform, footers
from p2i_ray.storage import locations

if TYPE_CHECKING:
    import pyarrow.parquet as pq


def read(data: str, split: str) -> list[str]:
    """The categories, each once, in order of the alphabet; empty for rows that have none.

    Args:
        data: EPBD folder, a path or URI.
        split: its rows are looked at.

    Raises:
        UserError: no such folder or split, or a file's categories can't be read.
    """
    files = footers.split_files(data, split)
    footers.each(files, _check)
    with ThreadPoolExecutor(footers.AT_ONCE) as pool:
        return sorted({category for found in pool.map(_of, files) for category in found})


def _check(file: str, footer: pq.FileMetaData) -> None:
    footers.check(file, footer, ["category"])


def _of(file: str) -> list[str]:
    import pyarrow.parquet as pq

    filesystem, path = locations.open_location(file)
    column = pq.read_table(path, columns=["category"], filesystem=filesystem)["category"]
    return [str(category) for category in conform.as_text(column).fill_null("").unique().to_pylist()]
