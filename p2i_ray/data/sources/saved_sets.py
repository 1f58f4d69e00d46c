"""The files of a saved Hugging Face data set: those of an earlier saving may lie beside them."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Collection, Sequence

from p2i_ray.data.sources import tables

STATE = "state.json"  # which a data set is saved with; it lists the files of its rows
SPLITS = "dataset_dict.json"  # which several are saved with, a folder each; it lists these


def own(files: Sequence[str], names: Collection[str], read: Callable[[str], bytes]) -> list[str]:
    """The table files that count: of Arrow files, those that the state beside them lists, where it lists any.

    `datasets` leaves the shards of an earlier saving where they are, if the new one has another number of them.

    Args:
        files: Parquet and Arrow files of a source.
        names: of all its files that are no pictures.
        read: gives the content of one.
    """
    listed: dict[str, set[str]] = {}  # folder -> the names of its files that count
    for name in names:
        folder, base = posixpath.split(name)
        if base == STATE and (found := _files(read(name))):
            listed[folder] = found
    for name in names:
        folder, base = posixpath.split(name)
        if base == SPLITS and (splits := _splits(read(name))):
            for place in listed:
                if place and posixpath.dirname(place) == folder and posixpath.basename(place) not in splits:
                    listed[place] = set()  # a split of an earlier saving
    return [name for name in files if _counts(name, listed)]


def _counts(name: str, listed: dict[str, set[str]]) -> bool:
    folder, base = posixpath.split(name)
    return not base.lower().endswith(tables.ARROW) or folder not in listed or base in listed[folder]


def _files(state: bytes) -> set[str]:
    """The files that a state lists; none if it is of another kind."""
    try:
        return {str(file["filename"]) for file in json.loads(state)["_data_files"]}
    except (ValueError, LookupError, TypeError):
        return set()


def _splits(content: bytes) -> set[str]:
    """The splits that were saved together; none if the file is of another kind."""
    try:
        return {str(split) for split in json.loads(content)["splits"]}
    except (ValueError, LookupError, TypeError):
        return set()
