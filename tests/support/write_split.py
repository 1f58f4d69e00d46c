"""A split of EPBD from a list of rows, without a source that is ingested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from p2i_ray.data import writing
from p2i_ray.storage import folders, locations


def write_split(data: str, split: str, rows: Sequence[Mapping[str, Any]], rows_per_file: int = 256) -> list[str]:
    """Write a split; returns its files' names."""
    folder = locations.join(data, split)
    folders.make_folder(folder)
    starts = range(0, len(rows), rows_per_file)
    return [writing.write_shard(rows[start : start + rows_per_file], folder) for start in starts]
