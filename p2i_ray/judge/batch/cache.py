"""Cache of the judge's answers by content, so that no request is paid for twice.

Its files are those of storage/content_cache.py. The fingerprint covers prompt, exemplars, feedback, model and sampling;
the key of an answer is the sample's content: the name and the picture as the judge saw them. Rows that were set aside
are not cached: the next run asks again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from p2i_ray.cluster import connection
from p2i_ray.storage import content_cache, parquet

if TYPE_CHECKING:
    from ray.actor import ActorHandle


@dataclass(frozen=True)
class AnswerCache:
    """The cached answers of one task, as Ray Data's tasks use them.

    Attributes:
        folder: location of the answers.
        schema: columns of the answers.
        index: actor that has read the answers which were there at the start; none: there were none.
    """

    folder: str
    schema: pa.Schema
    index: ActorHandle[Any] | None = None

    def key(self, name: str, picture: bytes, cutout: bytes | None = None) -> bytes:
        """The key of one sample's answer."""
        return content_cache.key_of(name.encode(), picture, *([] if cutout is None else [cutout]))

    def find(self, keys: list[bytes]) -> list[dict[str, Any] | None]:
        """The cached answers, in the keys' order; None where there is none."""
        import ray

        if self.index is None or not keys:
            return [None] * len(keys)
        return cast("list[dict[str, Any] | None]", ray.get(self.index.find.remote(keys)))

    def add(self, keys: list[bytes], answers: list[dict[str, Any]]) -> None:
        """Add those answers that are not errors."""
        rows = [
            {**answer, "key": key} for key, answer in zip(keys, answers, strict=True) if answer.get("error") is None
        ]
        if not rows:
            return
        content_cache.add(self.folder, pa.Table.from_pylist(rows, schema=_stored(self.schema)))


def open_cache(location: str, about: dict[str, Any], schema: pa.Schema) -> AnswerCache:
    """Open the cache of one task.

    Args:
        location: root of the cache, a path or URI that all nodes reach.
        about: everything except the sample that an answer depends on, as JSON values.
        schema: columns of the answers, with id and error, which are not cached.
    """
    folder = content_cache.open_folder(location, about)
    names = content_cache.parts(folder)
    return AnswerCache(folder, schema, _start_index(folder, names) if names else None)


class AnswerIndex:
    """All answers of a folder in memory: 16 bytes per key, and the columns as Arrow holds them."""

    def __init__(self, folder: str, names: list[str]) -> None:
        table = parquet.read_parquet(folder, names)
        self._positions = content_cache.KeyIndex(content_cache.keys_of(table["key"]))
        self._answers = table.drop_columns(["key"]).combine_chunks()

    def find(self, keys: list[bytes]) -> list[dict[str, Any] | None]:
        """The answers as AnswerCache.find returns them."""
        positions = self._positions.find(keys)
        found = iter(self._answers.take(pa.array(positions[positions >= 0])).to_pylist())
        return [next(found) if position >= 0 else None for position in positions]


def _start_index(folder: str, names: list[str]) -> ActorHandle[Any]:
    import ray

    # Tasks on all nodes query it. It ends with the cache's last handle and must not keep a node up by itself.
    options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": connection.this_node()}
    return cast("ActorHandle[Any]", ray.remote(AnswerIndex).options(**options).remote(folder, names))


def _stored(schema: pa.Schema) -> pa.Schema:
    return pa.schema(
        [pa.field("key", content_cache.KEY), *(field for field in schema if field.name not in ("id", "error"))]
    )


def with_picture_hashes(message: dict[str, Any]) -> dict[str, Any]:
    """A message with each picture replaced by its hash."""
    parts = [
        {**part, "image": hashlib.sha256(part["image"]).hexdigest()} if part["type"] == "image" else part
        for part in message["content"]
    ]
    return {"role": message["role"], "content": parts}
