"""Group rows that show one product: by their group, such as a SKU, by their name, or as near-duplicates."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from p2i_ray.config import Settings
from p2i_ray.data import mapped_rows, near_duplicates, numbers, text_columns
from p2i_ray.storage import spilled

if TYPE_CHECKING:
    import pyarrow as pa


class GroupConfig(Settings):
    """Rules that make rows photos of one product, which are never in different splits."""

    by_name: bool = Field(
        True, description="rows with the same name show one product, unless it is the name of their category"
    )
    near_duplicates: bool = Field(True, description="pictures that look alike show one product")


def find(rows: pa.Table, settings: GroupConfig) -> pa.DictionaryArray:
    """The group of every row: a key that does not depend on the order of the rows.

    Rows that share a group, a name or a near-duplicate have one key, also by way of others. It is the first in the
    alphabet of theirs, so it stays when rows are added that connect nothing.

    Args:
        rows: id, group (or null), name, category and fingerprint.
        settings: what makes a group.
    """
    import pyarrow as pa

    if not rows.num_rows:
        return text_columns.as_column(np.empty(0, np.int32), pa.array([], pa.string()))
    alike = np.empty((0, 2), np.intp)
    if settings.near_duplicates:  # first, as it takes the most memory
        alike = near_duplicates.pairs(near_duplicates.of_column(rows["fingerprint"]))
    shared = {"group": _groups(rows)} | ({"name": _names(rows)} if settings.by_name else {})
    # The row's own key joins it to pictures that are nearly the same.
    shared["row"] = _alone(rows, [own for own, _ in shared.values()])

    first, edges, keys = numbers.filled(rows.num_rows, -1), [np.empty(0, np.int64)], []
    size = 0
    for kind, (own, texts) in shared.items():  # in the order of their keys, so that a smaller node is a smaller key
        rank, order = text_columns.ranks(texts)
        edges.append(_distinct(_joined(first, own, size + rank)))
        keys.append(_Keys(kind, texts, order))
        size += len(order)
    ends = np.concatenate(edges)
    ends = np.concatenate([np.stack([ends >> 32, ends & 0xFFFFFFFF], axis=1), first[alike]])
    component = near_duplicates.connected(ends, size)
    smallest = np.unique(component, return_index=True)[1].astype(np.int32)  # node of each component
    key = smallest[component]  # of each node
    used = np.zeros(size, np.bool_)
    for (some,) in numbers.views(first):
        used[key[some]] = True
    renumbered = (np.cumsum(used, dtype=np.int32) - 1)[key]
    return text_columns.as_column(numbers.look_up(renumbered, first), _texts(keys, used))


def named(name: str) -> str:
    """A product's name as it is compared."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


class _Keys(NamedTuple):
    """Keys of one kind."""

    kind: str
    texts: pa.Array
    order: NDArray[np.int32]  # of the texts


def _joined(
    first: NDArray[np.int32], texts: NDArray[np.int32], nodes: NDArray[np.int32]
) -> Iterator[NDArray[np.int64]]:
    """Give rows their node, unless they have one; yields edges between that and the one that they have.

    Args:
        first: the node of each row, -1 where it has none.
        texts: the number of each row's text, -1 where it has none.
        nodes: of the texts.
    """
    of_text = np.append(nodes, np.int32(-1))
    for own, text in numbers.views(first, texts):
        node = of_text[text]
        both = (own >= 0) & (node >= 0)
        yield own[both].astype(np.int64) << 32 | node[both]
        np.copyto(own, node, where=own < 0)


def _distinct(pieces: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The distinct values of all pieces, which are not all held."""
    found, waiting = np.empty(0, np.int64), []
    for piece in pieces:
        waiting.append(np.unique(piece))
        if sum(map(len, waiting)) > len(found) + spilled.ROWS:
            found, waiting = np.unique(np.concatenate([found, *waiting])), []
    return np.unique(np.concatenate([found, *waiting]))


def _groups(rows: pa.Table) -> tuple[NDArray[np.int32], pa.Array]:
    """Each row's group, -1 where it has none, see text_columns.encode."""
    group, texts = text_columns.encode(rows["group"])
    empty = texts.index("").as_py()
    if empty >= 0:
        group[group == empty] = -1
    return group, texts


def _names(rows: pa.Table) -> tuple[NDArray[np.int32], pa.Array]:
    """Each row's name as it is compared, -1 where it is that of its category."""
    columns = [text_columns.encode(rows[column]) for column in ("name", "category")]
    spelled, texts = text_columns.encode(*(text_columns.each(distinct, named) for _, distinct in columns))
    (name, names), (category, _) = columns
    for some, other in numbers.views(name, category):
        of_name, of_category = spelled[: len(names)][some], spelled[len(names) :][other]
        some[:] = np.where(of_name == of_category, -1, of_name)
    return name, texts


def _alone(rows: pa.Table, shared: Sequence[NDArray[np.int32]]) -> tuple[NDArray[np.int32], pa.Array]:
    """Each row's id where it has neither a group nor a name, else -1."""
    import pyarrow as pa

    alone = np.logical_and.reduce([own < 0 for own in shared])
    ids, texts = text_columns.encode(mapped_rows.where(rows.select(["id"]), pa.chunked_array([alone]))["id"])
    found = numbers.filled(rows.num_rows, -1)
    found[alone] = ids
    return found, texts


def _texts(keys: list[_Keys], used: NDArray[np.bool_]) -> pa.Array:
    """The keys of the nodes that are used, in their order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found, start = [pa.array([], pa.string())], 0
    for kind, texts, order in keys:
        own = texts.take(pa.array(order[used[start : start + len(order)]]))
        found.append(pc.binary_join_element_wise(f"{kind}:", own, ""))
        start += len(order)
    return pa.concat_arrays(found)
