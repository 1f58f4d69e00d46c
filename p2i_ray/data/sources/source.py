"""A source: its content, the reader that reads it, and its rows."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from mmap import mmap
from typing import TYPE_CHECKING, NamedTuple

from p2i_ray.data.errors import ImageError
from p2i_ray.data.pair_list import Pair
from p2i_ray.data.sources import (
    archives,
    bg60k,
    delimited,
    embedded,
    file_names,
    half_pairs,
    image_folder,
    json_lines,
    listing,
    saved_sets,
    tables,
    webdataset,
    zipped,
)
from p2i_ray.data.sources.file_index import PICTURE, FileIndex
from p2i_ray.data.sources.pictures import PictureReader
from p2i_ray.data.sources.rows import INSIDE, REQUIRED, Row, to_table
from p2i_ray.errors import UserError, reason
from p2i_ray.storage import folders, locations, spilled

if TYPE_CHECKING:
    import pyarrow as pa

LIST_BYTES = 1 << 31  # largest list of products
CONTAINERS = (archives.ZIP, archives.TAR, tables.PARQUET, tables.ARROW)
LISTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
OWN_FILES = ("dataset_info.json", "state.json", "dataset_dict.json")  # of a saved Hugging Face data set
PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar")


class Read(NamedTuple):
    """A source's rows, as they were read."""

    root: str  # folder that the rows' paths are relative to
    rows: pa.Table  # one a picture of a product, see `rows.SCHEMA`
    notes: list[str]  # what a user should know, a line each
    pairs: Sequence[Pair] = ()  # of the rows, where a list has pairs


class _Source(NamedTuple):
    root: str
    files: FileIndex  # its files, also those inside its zips
    category: str  # of rows without one
    notes: list[str]
    bg1k: bg60k.Pictures  # those of its lists


def read(location: str, names: str = "", category: str = "") -> Read:
    """Read the rows of a source; no picture is opened.

    Args:
        location: a folder of photos, of class folders, of zips, of tables or of tars; or one such file.
        names: list of the products, if it isn't in the source under a name by which it is known.
        category: of rows without one.

    Raises:
        UserError: nothing there, it can't be read, or no row can be used; one line says what and where.
    """
    try:
        notes: list[str] = []
        root, found = _files(location, notes)
        notes += _clashes(found)
        index = FileIndex(found.files, location, found.inside)
        source = _Source(root, files=index, category=category, notes=notes, bg1k=bg60k.Pictures())
        rows = to_table(_listed(source, names) if names else _found(source, location))
    except PermissionError as error:
        where = error.filename or f"{location}{f' or names {names}' if names else ''}"
        raise UserError(f"source {where} may not be read: {reason(error)}; check your rights") from None
    where = f"names {names}" if names else f"source {location}"
    if not rows.num_rows:
        raise UserError(f"{where} has no rows")
    if not rows["reason"].null_count:
        first = rows.slice(0, 1).to_pylist()[0]
        raise UserError(f"{where}: none of {rows.num_rows} rows can be used; {first['origin']}: {first['reason']}")
    unlisted = source.files.unlisted()
    if first_unlisted := next(unlisted, ""):
        count = 1 + sum(1 for _ in unlisted)
        source.notes.append(f"{count} pictures in source have no row, such as {first_unlisted}")
    notes = [half_pairs.replaced(note) for note in source.notes]  # names of files that are not UTF-8
    return Read(root, rows, notes, source.bg1k.pairs)


def _files(location: str, notes: list[str]) -> tuple[str, zipped.Zipped]:
    """The folder of a source, and its files, also those inside its zips; what a user should know of them is noted."""
    kind = locations.kind(location)
    if kind is None:
        raise UserError(f"source {location} is not there; it is a folder of photos, or a zip, tar or Parquet file")
    if kind == "directory":
        root, names = location, folders.files_below(location)
    else:
        root, name = posixpath.split(location)
        if name.lower().endswith(PACKED):
            raise UserError(f"source {location} is packed so that nothing in it can be read by itself; unpack it")
        if not name.lower().endswith(CONTAINERS):
            raise UserError(f"source {location} is a file, and no zip, tar, Parquet or Arrow file")
        names = iter([name])
    files = file_names.ordered(_nameable(names, notes))
    zips = [name for name in files if name.lower().endswith(archives.ZIP)]
    if zips and not any(PICTURE.search(name) for name in files):
        inside = zipped.read(root, zips, files)
        return root, inside._replace(files={**files, **inside.files})
    return root, zipped.Zipped(files, inside={})


def _nameable(names: Iterable[str], notes: list[str]) -> Iterator[str]:
    """The names without INSIDE, with which a row could not tell a file from one in an archive."""
    count, first = 0, ""
    for name in names:
        if INSIDE in name:
            count, first = count + 1, first or name
        else:
            yield name
    if count:
        notes.append(f"{count} files are left out because their names have {INSIDE}, such as {first}; rename them")


def _clashes(found: zipped.Zipped) -> list[str]:
    """A note that the zips have files of the same name, if they do."""
    if not found.inside:
        return []
    name, names = next(iter(found.inside.items()))
    return [f"zips have files of the same name, so each zip's name is in front, as in {names[0]} for its {name}"]


def _listed(source: _Source, names: str) -> Iterator[Row]:
    """The rows of a list that the user names."""
    kind = locations.kind(names)
    if kind != "file":
        what = "is a folder, not a file" if kind else "is not there"
        raise UserError(f"names {names} {what}; it is a list with the columns {', '.join(REQUIRED)}, such as a CSV")
    yield from _list(source, spilled.content(locations.read_pieces(names)), names)


def _list(source: _Source, content: bytes | mmap, names: str) -> Iterator[Row]:
    """The rows of a list by its content and name."""
    if bg60k.is_list(names):
        yield from bg60k.read(content[:], names, source.files, source.bg1k)
        if bg60k.has_pairs(names):
            lines = len(source.bg1k.pairs)
            source.notes.append(f"{names} has {lines} lines, and a row is a picture of them; jobs/pairs.py joins pairs")
    elif content[:4] == b"PAR1":
        yield from embedded.listed(content[:], names, source.files, source.category)
    elif names.lower().endswith((".jsonl", ".ndjson", ".json")):
        yield from json_lines.read(content[:], names, source.files, source.category)
    else:
        encoding = delimited.encoding(content)
        if encoding == "Windows-1252":
            source.notes.append(f"{names} is not UTF-8 and was read as {encoding}; check the names in preview.png")
        yield from listing.read(content, names, source.files, source.category)


def _found(source: _Source, location: str) -> Iterator[Row]:
    """The rows of a source without a list: by what it holds."""
    names = [name for name in source.files.files if not PICTURE.search(name)]  # of pictures there may be millions
    lists = [name for name in names if bg60k.is_list(name)] or image_folder.metadata(names)
    held = _held(source, names)
    tars = [name for name in names if name.lower().endswith(archives.TAR)]
    if not (lists or held or tars):
        lists = _only_list(names, location)
    if len(pairs := [name for name in lists if bg60k.has_pairs(name)]) > 1:
        raise UserError(f"source {location} has several lists of pairs ({', '.join(pairs[:3])}); say which by names=")
    if lists:
        # Pairs last: a list of their pictures knows the category of each.
        for name in sorted(lists, key=bg60k.has_pairs):
            yield from _within(source, name)
    elif held:
        yield from embedded.read(source.root, held, source.files, source.category)
    elif tars:
        yield from webdataset.read(source.root, tars, source.category)
    elif any("/" in name and PICTURE.search(name) for name in source.files.files):
        source.notes.append(
            "no list of names was given, so folders are categories, and each product is named after its"
        )
        yield from image_folder.classes(source.files)
    else:
        held_pictures = len(source.files.files) - len(names)
        raise UserError(
            f"source {location} has {held_pictures} pictures, and no list, tables, tars or folders of classes; name "
            f"a list with names= (a CSV with the columns {', '.join(REQUIRED)})"
        )


def _held(source: _Source, names: list[str]) -> list[str]:
    """The files of tables; a note says how many lie beside a saved data set and are not of it."""
    files = [name for name in names if embedded.is_data(name)]
    held = saved_sets.own(files, names, lambda name: _content(source, name))
    if len(held) < len(files):
        first = sorted(set(files) - set(held))[0]
        source.notes.append(
            f"{len(files) - len(held)} Arrow files are not among those that their data set lists, as those of an "
            f"earlier saving, and were left out, such as {first}"
        )
    return held


def _within(source: _Source, name: str) -> Iterator[Row]:
    """The rows of a list in the source; its paths are relative to its own folder."""
    content = spilled.content([_content(source, name)])
    folder = posixpath.dirname(name)
    own = source if not folder else source._replace(files=source.files.below(folder))
    yield from _list(own, content, name)


def _content(source: _Source, name: str) -> bytes:
    """A file of the source that is no picture."""
    with PictureReader(source.root, LIST_BYTES) as reader:
        try:
            return reader.read(source.files.files[name])
        except ImageError as error:
            raise UserError(f"source {source.root}/{name}: {error}") from None


def _only_list(names: list[str], location: str) -> list[str]:
    """The one list that a source has, if it has one; many JSON files are no lists, but each describes its picture."""
    found = [name for name in names if name.lower().endswith(LISTS) and posixpath.basename(name) not in OWN_FILES]
    tables_of_text = [name for name in found if not name.lower().endswith(".json")]
    found = found if len(found) == 1 else tables_of_text
    if len(found) > 1:
        raise UserError(f"source {location} has several lists ({', '.join(found[:3])}); say which by names=")
    return found
