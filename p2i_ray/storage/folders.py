"""Folders on a disk or in a bucket: their files, and copies from and to there.

A bucket's console makes an object FOLDER/ where it is told to create a folder: it is no file, and counts for nothing.
"""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from p2i_ray.errors import UserError
from p2i_ray.storage.locations import exists, is_uri, join, open_location

HIDDEN = (".", "__MACOSX")  # files and folders that a system made for itself begin so
Entry = dict[str, Any]  # of a file system's listing: name, size, type (file, directory, …), and others


def entries(location: str) -> dict[str, Entry]:
    """Files and folders directly in a folder, by their names, sorted.

    Raises:
        OSError: the folder doesn't exist, or can't be listed.
    """
    filesystem, path = open_location(location)
    listed = {str(entry["name"]).rstrip("/"): entry for entry in filesystem.ls(path, detail=True)}
    listed.pop(path, None)  # the console's object
    return {posixpath.basename(name): listed[name] for name in sorted(listed)}


def entries_below(location: str) -> dict[str, Entry]:
    """The files below a folder, hidden ones too, by their paths relative to it, sorted; none if it doesn't exist."""
    filesystem, path = open_location(location)
    found = {
        str(name).removeprefix(path).lstrip("/"): entry for name, entry in filesystem.find(path, detail=True).items()
    }
    return {name: found[name] for name in sorted(found) if name and not name.endswith("/")}


def is_empty(location: str, *besides: str) -> bool:
    """Whether a folder that is there holds nothing, or nothing but files of these names."""
    return entries(location).keys() <= {*besides}


def files(location: str, suffix: str = "") -> list[str]:
    """The locations of what `names` lists."""
    return [join(location, name) for name in names(location, suffix)]


def names(location: str, suffix: str = "") -> list[str]:
    """The names of files directly in a folder that end in `suffix`, sorted; none if the folder doesn't exist.

    Hidden files are left out: macOS puts a ._NAME beside each file that it copies.
    """
    try:
        found = entries(location)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [name for name, entry in found.items() if _is_file(entry) and name.endswith(suffix) and name[0] != "."]


def _is_file(entry: Entry) -> bool:
    """Whether an entry of a listing is a file; fsspec has a link, as in the cache of a model hub, for "other"."""
    return entry["type"] == "file" or (bool(entry.get("islink")) and Path(entry["name"]).is_file())


def files_below(location: str) -> Iterator[str]:
    """The files below a folder, as paths relative to it with /, in the order of the store; hidden ones are left out.

    Links to files are named, links to folders aren't followed.

    Raises:
        OSError: a folder can't be listed.
    """
    if not is_uri(location):
        _, root = open_location(location)
        for folder, inside, found in os.walk(root, onerror=_raise):
            inside[:] = [name for name in inside if not name.startswith(HIDDEN)]
            below = Path(folder).relative_to(root).as_posix()
            yield from (posixpath.normpath(posixpath.join(below, n)) for n in found if not n.startswith(HIDDEN))
        return
    for path in entries_below(location):
        if not any(name.startswith(HIDDEN) for name in path.split("/")):
            yield path


def _raise(error: OSError) -> None:
    raise error


def make_folder(location: str) -> None:
    """Create a folder and its parents; object stores have none to create."""
    filesystem, path = open_location(location)
    filesystem.makedirs(path, exist_ok=True)


def put_folder(local: str, location: str, last: Sequence[str] = ()) -> None:
    """Copy a local folder's content to a location.

    Args:
        local: the folder.
        location: of the copy.
        last: names of files directly in it that are copied when all others are there.
    """
    filesystem, path = open_location(location)
    filesystem.makedirs(path, exist_ok=True)
    names = sorted(file.relative_to(local).as_posix() for file in Path(local).rglob("*") if file.is_file())
    if not is_uri(location):
        for folder in {Path(path, name).parent for name in names}:
            folder.mkdir(parents=True, exist_ok=True)
    for some in ([name for name in names if name not in last], [name for name in names if name in last]):
        # Lists on both sides: a single path with * or [ ] in it would be taken for a pattern.
        filesystem.put([str(Path(local, name)) for name in some], [posixpath.join(path, name) for name in some])


@contextmanager
def local_folder(location: str) -> Iterator[str]:
    """Provide a folder as a local path: itself if it is local, else a temporary copy.

    Raises:
        UserError: it doesn't exist.
    """
    if not exists(location):
        raise UserError(f"{location} is not there; check the path")
    if not is_uri(location):
        yield location
        return
    filesystem, path = open_location(location)
    with tempfile.TemporaryDirectory(prefix="p2i_") as copy:
        found = [*entries_below(location)]
        targets = [Path(copy, name) for name in found]
        for folder in {target.parent for target in targets}:
            folder.mkdir(parents=True, exist_ok=True)
        sources = [posixpath.join(path, name) for name in found]
        filesystem.get(sources, list(map(str, targets)))  # lists, as in put_folder
        yield copy
