"""Never pay twice: answers of the judge, kept under what they depend on.

    <cache>/<fingerprint of prompt, exemplars, feedback, model and sampling>/about.json, part-*.parquet

An answer's key is the sample's content: its name and its picture as the judge saw them. Tasks add files under names
no other attempt uses, so any number of jobs may share a cache on any filesystem. Rows that were set aside are not
kept: the next run asks again.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from p2i_ray import sink, storage

if TYPE_CHECKING:
    import numpy as np
    from ray.actor import ActorHandle

KEY = pa.binary(16)  # the first half of a SHA-256


@dataclass(frozen=True)
class Cache:
    """The answers to one question, as tasks see them.

    Attributes:
        folder: their location.
        schema: the answers' columns.
        index: the actor that has read what was there at the start; none: nothing was.
    """

    folder: str
    schema: pa.Schema
    index: ActorHandle | None = None

    def key(self, name: str, picture: bytes) -> bytes:
        """What the answer is found by."""
        return hashlib.sha256(b"%d %b %b" % (len(name), name.encode(), picture)).digest()[:16]

    def find(self, keys: list[bytes]) -> list[dict[str, Any] | None]:
        """The known answers, in the keys' order; none where there is none."""
        import ray

        if self.index is None or not keys:
            return [None] * len(keys)
        return ray.get(self.index.find.remote(keys))

    def add(self, keys: list[bytes], answers: list[dict[str, Any]]) -> None:
        """Keep those answers that are not errors."""
        rows = [
            {**answer, "key": key} for key, answer in zip(keys, answers, strict=True) if answer.get("error") is None
        ]
        if not rows:
            return
        name = storage.join(self.folder, f"part-{uuid.uuid4().hex}.parquet")
        sink.write_table(pa.Table.from_pylist(rows, schema=_stored(self.schema)), name)


def open_cache(location: str, about: dict[str, Any], schema: pa.Schema) -> Cache:
    """The cache of one question.

    Args:
        location: of the cache, a path or URI that all nodes reach.
        about: everything but the sample that an answer depends on, as JSON values.
        schema: the answers' columns, with id and error, which are not kept.
    """
    text = json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False)
    folder = storage.join(location, hashlib.sha256(text.encode()).hexdigest()[:32])
    storage.make_folder(folder)
    if not storage.exists(storage.join(folder, "about.json")):
        storage.write_text(storage.join(folder, "about.json"), text)
    files = storage.files(folder, ".parquet")
    return Cache(folder, schema, _start_index(folder, files) if files else None)


class Index:
    """All answers of a folder in memory: 16 bytes a key, and the columns as Arrow holds them."""

    def __init__(self, folder: str, names: list[str]) -> None:
        import numpy as np

        table = sink.read_parquet(folder, names)
        keys = _sortable(table["key"].to_pylist())
        _, first = np.unique(keys, return_index=True)  # two jobs may have asked the same at the same time
        self._keys = keys[first]
        self._answers = table.drop_columns(["key"]).take(pa.array(first)).combine_chunks()

    def find(self, keys: list[bytes]) -> list[dict[str, Any] | None]:
        """See Cache.find."""
        import numpy as np

        wanted = _sortable(keys)
        places = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        hits = self._keys[places] == wanted
        found = iter(self._answers.take(pa.array(places[hits])).to_pylist())
        return [next(found) if hit else None for hit in hits]


def _start_index(folder: str, files: list[str]) -> ActorHandle:
    import ray

    names = [file.rsplit("/", 1)[-1] for file in files]
    # Tasks of all nodes ask it; it dies with the cache's last handle.
    return ray.remote(Index).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote(folder, names)


def _stored(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field("key", KEY), *(field for field in schema if field.name not in ("id", "error"))])


def _sortable(keys: list[bytes]) -> np.ndarray:
    """Keys as numpy sorts them; all are 16 bytes long, so that trailing zeros, which it drops, mean nothing."""
    import numpy as np

    return np.array(keys, dtype="S16")
