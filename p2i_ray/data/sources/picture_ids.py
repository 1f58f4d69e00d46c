"""Ids of rows of tables that have none: by their pictures, so that they don't change with a row's place in its table.

A picture is known by the path that an image struct has beside its bytes, as one file of a folder is, or by its bytes:
where it has no path, and where pictures of the source share it (as `0.jpg` in several folders).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.sources import tables
from p2i_ray.data.sources.rows import id_of

NO_PATH = 0


class PictureIds:
    """The ids of the pictures of a source's tables.

    Args:
        paths: table -> those of its pictures, as `hashes` gives them, if it has any.
    """

    def __init__(self, paths: Mapping[str, NDArray[np.int64]]) -> None:
        values, counts = np.unique(np.concatenate([np.empty(0, np.int64), *paths.values()]), return_counts=True)
        ambiguous = values[(counts > 1) | (values == NO_PATH)]
        self._ambiguous = frozenset(ambiguous.tolist())
        self._by_paths = frozenset(table for table, found in paths.items() if not np.isin(found, ambiguous).any())

    def by_paths(self, table: str) -> bool:
        """Whether the paths of a table's pictures say all of their ids, and no bytes are needed."""
        return table in self._by_paths

    def of(self, *pictures: Any) -> str:
        """The id of a row by its first picture; empty if all cells are.

        Args:
            pictures: cells in order, of which the first one's path counts; of a table that is read by paths, that one
                alone, without its bytes.
        """
        first = pictures[0] if pictures else None
        path = first.get("path") if isinstance(first, Mapping) else None
        if path and _hash(path.encode()) not in self._ambiguous:
            return id_of(path)
        content = next((found for one in pictures if (found := tables.picture(one))), "")
        if isinstance(content, bytes):
            return hashlib.sha256(content).hexdigest()[:16]
        return id_of(content) if content else ""


def hashes(paths: Iterable[bytes | None]) -> NDArray[np.int64]:
    """The paths of a table's pictures, in 8 bytes each; they compare within this process alone."""
    return np.fromiter((_hash(path) if path else NO_PATH for path in paths), np.int64)


def _hash(path: bytes) -> int:
    return hash(path) or 1  # 0 stands for none
