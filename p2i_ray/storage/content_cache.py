"""Folders of what was computed once, found again by content: what the judge's and the features' caches share.

    <cache>/<fingerprint>/about.json, part-*.parquet

The fingerprint is a digest of about.json: of everything but the sample that the files' rows depend on. A row's key is
a digest of its sample. Tasks add files under names that no other attempt uses, so any number of jobs may share a
cache on any filesystem.
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

from p2i_ray.storage import locations, parquet

KEY = pa.binary(16)  # the first half of a SHA-256


def open_folder(cache: str, about: dict[str, Any]) -> str:
    """The folder of a cache for rows that depend on `about`, which are JSON values; made if needed."""
    text = json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False)
    folder = locations.join(cache, hashlib.sha256(text.encode()).hexdigest()[:32])
    locations.make_folder(folder)
    if not locations.exists(locations.join(folder, "about.json")):
        locations.write_text(locations.join(folder, "about.json"), text)
    return folder


def parts(folder: str) -> list[str]:
    """The names of the files that are there now."""
    return [file.rsplit("/", 1)[-1] for file in locations.files(folder, ".parquet")]


def add(folder: str, rows: pa.Table) -> str:
    """Write a new file, whole or not at all; returns its name."""
    name = f"part-{uuid.uuid4().hex}.parquet"
    parquet.write_table(rows, locations.join(folder, name))
    return name


def key_of(*content: bytes) -> bytes:
    """The key of a sample that consists of these; their lengths count, too."""
    digest = hashlib.sha256()
    for part in content:
        digest.update(b"%d " % len(part))
        digest.update(part)
    return digest.digest()[:16]


class KeyIndex:
    """Where each key is among given ones: 24 bytes a key, and quick for many keys at once."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Of keys that come twice, the first counts: two jobs may have computed the same at the same time."""
        self._keys, self._places = np.unique(_sortable(keys), return_index=True)

    def find(self, keys: Sequence[bytes]) -> NDArray[np.int64]:
        """The place of each key, (len(keys),); -1 where it is unknown."""
        wanted = _sortable(keys)
        if not len(self._keys):
            return np.full(len(wanted), -1)
        near = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return np.where(self._keys[near] == wanted, self._places[near], -1)


def _sortable(keys: Sequence[bytes]) -> NDArray[np.bytes_]:
    """Keys as numpy sorts them; all are 16 bytes long, so that trailing zeros, which it drops, mean nothing."""
    return np.array(keys, dtype="S16")
