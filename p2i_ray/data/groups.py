"""Which rows show one product: by their group, such as a SKU, by their name, or because they are near-duplicates."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from p2i_ray.config import Settings
from p2i_ray.data import near_duplicates, text_columns

if TYPE_CHECKING:
    import pyarrow as pa


class GroupConfig(Settings):
    """What makes rows photos of one product, which are never in different splits."""

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
        return text_columns.as_column(np.empty(0, np.intp), pa.array([], pa.string()))
    alike = np.empty((0, 2), np.intp)
    if settings.near_duplicates:  # first, as it takes the most memory
        alike = near_duplicates.pairs(near_duplicates.of_column(rows["fingerprint"]))
    shared = {"group": _groups(rows)} | ({"name": _names(rows)} if settings.by_name else {})
    # The row's own key joins it to pictures that are nearly the same.
    alone = np.logical_and.reduce([numbers < 0 for numbers, _ in shared.values()])
    ids, texts = text_columns.encode(rows["id"].filter(pa.array(alone)))
    shared["row"] = (np.full(rows.num_rows, -1), texts)
    shared["row"][0][alone] = ids

    first, edges, keys = np.full(rows.num_rows, -1), [np.empty((0, 2), np.intp)], []
    size = 0
    for kind, (numbers, texts) in shared.items():  # in the order of their keys, so that a smaller node is a smaller key
        rank, order = text_columns.ranks(texts)
        nodes = np.where(numbers < 0, -1, size + np.append(rank, -1)[numbers])
        both = (first >= 0) & (nodes >= 0)
        edges.append(np.unique(np.stack([first[both], nodes[both]], axis=1), axis=0))
        first = np.where(first < 0, nodes, first)
        keys.append(_Keys(kind, texts, order))
        size += len(order)
    component = near_duplicates.connected(np.concatenate([*edges, first[alike]]), size)
    smallest = np.unique(component, return_index=True)[1]  # node of each component
    found = smallest[component[first]]
    used = np.bincount(found, minlength=size) > 0
    return text_columns.as_column((np.cumsum(used) - 1)[found], _texts(keys, used))


def named(name: str) -> str:
    """A product's name as it is compared."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


class _Keys(NamedTuple):
    """Keys of one kind."""

    kind: str
    texts: pa.Array
    order: NDArray[np.intp]  # of the texts


def _groups(rows: pa.Table) -> tuple[NDArray[np.intp], pa.Array]:
    """Each row's group, -1 where it has none, see text_columns.encode."""
    numbers, texts = text_columns.encode(rows["group"])
    empty = texts.index("").as_py()
    return np.where(numbers == empty, -1, numbers) if empty >= 0 else numbers, texts


def _names(rows: pa.Table) -> tuple[NDArray[np.intp], pa.Array]:
    """Each row's name as it is compared, -1 where it is that of its category."""
    columns = [text_columns.encode(rows[column]) for column in ("name", "category")]
    spelled, texts = text_columns.encode(*(text_columns.each(distinct, named) for _, distinct in columns))
    (name, names), (category, _) = columns
    of_name, of_category = spelled[: len(names)][name], spelled[len(names) :][category]
    return np.where(of_name == of_category, -1, of_name), texts


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
