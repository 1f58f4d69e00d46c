"""Which files of a saved Hugging Face data set are its own: those of an earlier saving may lie beside them."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Collection, Sequence

from p2i_ray.data.sources import tables

STATE = "state.json"  # which a data set is saved with; it lists the files of its rows


def own(files: Sequence[str], names: Collection[str], read: Callable[[str], bytes]) -> list[str]:
    """The table files that count: of Arrow files, those that the state beside them lists, where it lists any.

    `datasets` leaves the shards of an earlier saving where they are, if the new one has another number of them.

    Args:
        files: Parquet and Arrow files of a source.
        names: of all its files that are no pictures.
        read: gives the content of one.
    """
    listed: dict[str, set[str]] = {}  # folder -> the names of its files that count
    for state in (name for name in names if posixpath.basename(name) == STATE):
        if found := _listed(read(state)):
            listed[posixpath.dirname(state)] = found
    return [name for name in files if _counts(name, listed)]


def _counts(name: str, listed: dict[str, set[str]]) -> bool:
    folder, base = posixpath.split(name)
    return not base.lower().endswith(tables.ARROW) or folder not in listed or base in listed[folder]


def _listed(state: bytes) -> set[str]:
    """The files that a state lists; none if it is of another kind."""
    try:
        return {str(file["filename"]) for file in json.loads(state)["_data_files"]}
    except (ValueError, LookupError, TypeError):
        return set()
