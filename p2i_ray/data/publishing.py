"""Publish what an ingestion made: nothing of it is seen before all is finished, and a kill in between loses nothing.

Shards are made in a folder of their own within `out`. When all are there, a journal is written that lists them, and
they are moved to their places; who finds the journal later goes on with the moves:

    <out>/.building-<id>/     what isn't finished
    <out>/.publishing.json    what is, and where it belongs
"""

from __future__ import annotations

import json
import posixpath
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from p2i_ray.data.schema import REJECTED, SPLITS
from p2i_ray.errors import UserError
from p2i_ray.storage import folders, locations

JOURNAL = ".publishing.json"
BUILDING = ".building-"


def check_free(out: str) -> None:
    """Raise a UserError if `out` holds EPBD data, or is a file."""
    if locations.kind(out) == "file":
        raise UserError(f"out {out} is a file; name a folder")
    held = [part for part in (*SPLITS, REJECTED) if folders.files(locations.join(out, part), ".parquet")]
    if held:
        raise UserError(f"out {out} already holds data ({', '.join(held)}); name another folder, or remove it first")


def building_folder(out: str) -> str:
    """A unique folder within `out` for what isn't finished."""
    return locations.join(out, f"{BUILDING}{uuid.uuid4().hex}")


def publish(building: str, out: str, files: Mapping[str, Sequence[str]], replaced: Sequence[str] = ()) -> None:
    """Move finished parts to their places; files that no part lists are removed.

    Args:
        building: where they are, a folder directly below `out`.
        out: the EPBD folder.
        files: part (a folder's name) -> names of files.
        replaced: files below `out` that go when the new ones are there.
    """
    parts = {part: sorted(names) for part, names in files.items() if names}
    journal = {"building": posixpath.basename(building), "files": parts, "replaced": sorted(replaced)}
    locations.write_text(locations.join(out, JOURNAL), json.dumps(journal, indent=1))
    finish(out)


def finish(out: str) -> None:
    """Go on with a publication that was interrupted, if there is one; no other process may work in `out`.

    On a disk a new part appears at once, by one rename. The training split comes last.
    """
    location = locations.join(out, JOURNAL)
    if locations.exists(location):
        journal = json.loads(locations.read_text(location))
        building = locations.join(out, journal["building"])
        for part in sorted(journal["files"], key=lambda part: part == "train"):
            _move(locations.join(building, part), locations.join(out, part), journal["files"][part])
        for name in journal["replaced"]:
            locations.remove(locations.join(out, name))
        locations.remove(building)
        locations.remove(location)


def remove_unfinished(out: str) -> None:
    """Remove what attempts that were killed left unfinished; no other process may work in `out`."""
    if not locations.exists(out):
        return
    filesystem, path = locations.open_location(out)
    for found in filesystem.ls(path, detail=False):
        name = posixpath.basename(found.rstrip("/"))
        if name.startswith(BUILDING):
            locations.remove(locations.join(out, name))


def _move(source: str, target: str, names: Sequence[str]) -> None:
    """Move files of one folder into another; those that were moved before are left."""
    there = set(folders.names(source))
    for stray in there - set(names):
        locations.remove(locations.join(source, stray))
    if not locations.is_uri(source) and there >= set(names) and not locations.exists(target):
        Path(source).rename(target)
        return
    filesystem, to_folder = locations.open_location(target)
    filesystem.makedirs(to_folder, exist_ok=True)
    for name in sorted(there & set(names)):
        _, from_path = locations.open_location(locations.join(source, name))
        _, to_path = locations.open_location(locations.join(target, name))
        if locations.is_uri(source):  # object stores have no folders to rename
            filesystem.cp_file(from_path, to_path)  # `mv` would take * ? [ ] in a folder's name for a pattern
            filesystem.rm_file(from_path)
        else:
            Path(from_path).replace(to_path)
