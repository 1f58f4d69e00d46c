"""Never pay twice: answers of the judge, kept under what they depend on.

They lie as keyed.py says. The fingerprint is of prompt, exemplars, feedback, model and sampling; an answer's key is
the sample's content: its name and its picture as the judge saw them. Rows that were set aside are not kept: the next
run asks again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from p2i_ray.cluster import connection
from p2i_ray.storage import content_cache, parquet

if TYPE_CHECKING:
    from ray.actor import ActorHandle


@dataclass(frozen=True)
class AnswerCache:
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
        return content_cache.key_of(name.encode(), picture)

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
        content_cache.add(self.folder, pa.Table.from_pylist(rows, schema=_stored(self.schema)))


def open_cache(location: str, about: dict[str, Any], schema: pa.Schema) -> AnswerCache:
    """The cache of one question.

    Args:
        location: of the cache, a path or URI that all nodes reach.
        about: everything but the sample that an answer depends on, as JSON values.
        schema: the answers' columns, with id and error, which are not kept.
    """
    folder = content_cache.open_folder(location, about)
    names = content_cache.parts(folder)
    return AnswerCache(folder, schema, _start_index(folder, names) if names else None)


class AnswerIndex:
    """All answers of a folder in memory: 16 bytes a key, and the columns as Arrow holds them."""

    def __init__(self, folder: str, names: list[str]) -> None:
        table = parquet.read_parquet(folder, names)
        self._places = content_cache.KeyIndex(table["key"].to_pylist())
        self._answers = table.drop_columns(["key"]).combine_chunks()

    def find(self, keys: list[bytes]) -> list[dict[str, Any] | None]:
        """See Cache.find."""
        places = self._places.find(keys)
        found = iter(self._answers.take(pa.array(places[places >= 0])).to_pylist())
        return [next(found) if place >= 0 else None for place in places]


def _start_index(folder: str, names: list[str]) -> ActorHandle:
    import ray

    # Tasks of all nodes ask it; it dies with the cache's last handle, and must not keep a node up by itself.
    options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": connection.this_node()}
    return ray.remote(AnswerIndex).options(**options).remote(folder, names)


def _stored(schema: pa.Schema) -> pa.Schema:
    return pa.schema(
        [pa.field("key", content_cache.KEY), *(field for field in schema if field.name not in ("id", "error"))]
    )
