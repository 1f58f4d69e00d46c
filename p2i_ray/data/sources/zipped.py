"""The files inside a source's zips, each under a name of its own: two zips may have files of the same name."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from p2i_ray.data.errors import ImageError
from p2i_ray.data.sources import archives
from p2i_ray.data.sources.photos import open_file
from p2i_ray.data.sources.rows import INSIDE
from p2i_ray.errors import UserError


class Zipped(NamedTuple):
    """The content of a source's zips."""

    files: Mapping[str, str]  # names -> how they are read
    inside: dict[str, list[str]]  # names that files have within their zips -> those in `files`, where they differ


def read(root: str, zips: Sequence[str], others: Collection[str]) -> Zipped:
    """The files of zips by their names there; if two are the same, all have their zip in front, as a folder.

    Args:
        root: folder that the zips are relative to.
        zips: at least one.
        others: names of the source's other files, which are kept.

    Raises:
        UserError: one is no zip.
    """
    members = {zip_: dict(_members(root, zip_)) for zip_ in zips}
    count = sum(map(len, members.values())) + len(others)
    files: dict[str, str] = {}
    folders = [dict.fromkeys(zips, ""), {zip_: f"{posixpath.splitext(zip_)[0]}/" for zip_ in zips}]
    folders += [{zip_: f"{zip_}/" for zip_ in zips}]  # a.zip and a.ZIP
    for folder in folders:
        files = {f"{folder[zip_]}{name}": place for zip_, found in members.items() for name, place in found.items()}
        if len(files.keys() | set(others)) == count:
            break
    return Zipped(files, _inside(members, folder))


def _inside(members: Mapping[str, Mapping[str, str]], folder: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for zip_, names in members.items():
        for name in names if folder[zip_] else ():
            found.setdefault(name, []).append(f"{folder[zip_]}{name}")
    return found


def _members(root: str, zip_: str) -> Iterator[tuple[str, str]]:
    try:
        with open_file(root, zip_) as opened:
            for member in archives.zip_members(opened):
                yield member.name, f"{zip_}{INSIDE}{member.where}"
    except ImageError as error:
        raise UserError(f"source {root}/{zip_}: {error}") from None
