"""Which rows show one product: by their group, such as a SKU, by their name, or because they are near-duplicates."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from p2i_ray.config import Settings
from p2i_ray.data import near_duplicates

if TYPE_CHECKING:
    import pyarrow as pa


class GroupConfig(Settings):
    """What makes rows photos of one product, which are never in different splits."""

    by_name: bool = Field(
        True, description="rows with the same name show one product, unless it is the name of their category"
    )
    near_duplicates: bool = Field(True, description="pictures that look alike show one product")


def find(rows: pa.Table, settings: GroupConfig) -> list[str]:
    """The group of every row: a key that does not depend on the order of the rows.

    Rows that share a group, a name or a near-duplicate have one key, also by way of others. It is the first in the
    alphabet of theirs, so it stays when rows are added that connect nothing.

    Args:
        rows: id, group (or null), name, category and fingerprint.
        settings: what makes a group.
    """
    keys = list(_keys(rows, settings))
    nodes = {key: place for place, key in enumerate(dict.fromkeys(key for own in keys for key in own), start=len(keys))}
    edges = np.array([(row, nodes[key]) for row, own in enumerate(keys) for key in own], np.intp).reshape(-1, 2)
    if settings.near_duplicates:
        edges = np.concatenate([edges, near_duplicates.pairs(rows["fingerprint"].to_pylist())])
    component = near_duplicates.connected(edges, len(keys) + len(nodes))
    smallest: dict[int, str] = {}
    for row, own in enumerate(keys):
        for key in own:
            smallest[component[row]] = min(smallest.get(component[row], key), key)
    return [smallest[component[row]] for row in range(len(keys))]


def named(name: str) -> str:
    """A product's name as it is compared."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def _keys(rows: pa.Table, settings: GroupConfig) -> Iterator[list[str]]:
    """What each row may share with others; its own id if there is nothing."""
    columns = (rows[column].to_pylist() for column in ("id", "group", "name", "category"))
    for id, group, name, category in zip(*columns, strict=True):
        own = [f"group:{group}"] if group else []
        if settings.by_name and named(name) != named(category):
            own.append(f"name:{named(name)}")
        # The row's own key joins it to pictures that are nearly the same.
        yield own or [f"row:{id}"]
