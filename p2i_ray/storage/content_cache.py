"""Folders of computed rows, found again by content: shared by the caches of the judge and of the features.

    <cache>/<fingerprint>/about.json, part-*.parquet

The fingerprint is a digest of about.json, which holds everything that the rows depend on except the sample. A row's
key is a digest of its sample. Tasks add files under unique names, so any number of jobs may share a cache on any
filesystem.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from p2i_ray.storage import folders, locations, parquet

KEY = pa.binary(16)  # the first half of a SHA-256


def open_folder(cache: str, about: dict[str, Any]) -> str:
    """The folder of a cache for rows that depend on `about` (JSON values); created if needed."""
    text = json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False)
    folder = locations.join(cache, hashlib.sha256(text.encode()).hexdigest()[:32])
    folders.make_folder(folder)
    if not locations.exists(locations.join(folder, "about.json")):
        locations.write_text(locations.join(folder, "about.json"), text)
    return folder


def parts(folder: str) -> list[str]:
    """The names of the files that the folder holds now."""
    return folders.names(folder, ".parquet")


def add(folder: str, rows: pa.Table) -> str:
    """Write a new file atomically and return its name."""
    name = f"part-{uuid.uuid4().hex}.parquet"
    parquet.write_table(rows, locations.join(folder, name))
    return name


def key_of(*content: bytes) -> bytes:
    """The key of a sample that consists of these parts; their lengths count, too."""
    digest = hashlib.sha256()
    for part in content:
        digest.update(b"%d " % len(part))
        digest.update(part)
    return digest.digest()[:16]


class KeyIndex:
    """The position of keys in a given sequence: 24 bytes per key, and vectorised look-ups."""

    def __init__(self, keys: Sequence[bytes] | NDArray[np.bytes_]) -> None:
        """Index the keys; of a duplicate the first counts: two jobs may have computed the same at the same time."""
        self._keys, self._positions = np.unique(_sortable(keys), return_index=True)

    def find(self, keys: Sequence[bytes]) -> NDArray[np.int64]:
        """The position of each key, shape (len(keys),); -1 where it is unknown."""
        wanted = _sortable(keys)
        if not len(self._keys):
            return np.full(len(wanted), -1)
        nearest = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return np.where(self._keys[nearest] == wanted, self._positions[nearest], -1)


def keys_of(column: pa.ChunkedArray) -> NDArray[np.bytes_]:
    """A column of keys as numpy has them, without making an object of each."""
    keys = column.combine_chunks()
    if not len(keys):
        return np.empty(0, "S16")
    return np.frombuffer(keys.buffers()[1], "S16", count=len(keys), offset=16 * keys.offset)


def _sortable(keys: Sequence[bytes] | NDArray[np.bytes_]) -> NDArray[np.bytes_]:
    """Keys as a numpy array; all are 16 bytes long, so the trailing zeros that numpy drops make no difference."""
    return np.array(keys, dtype="S16")
