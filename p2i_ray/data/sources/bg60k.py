"""Read BG60k, BG1K and BG-Pair as they are published: pictures with a category and a cutout, and no product names.

`bg60k_info.txt` has no header and a line `N.png<TAB>category` a picture. The picture is `bg60k_imgs_K/N.png` and its
cutout the RGBA file `bg60k_masks_K/N_mask.png`, K = N mod 10, in folders or in zips of the same names. BG1K has the
same; a line of `bgpair_info.txt` has a picture, a reference in the style wanted, and a category, both from BG1K. A
picture may be in several pairs, as either, so the rows are its pictures, each once, and the pairs name them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from p2i_ray.data.errors import ImageError
from p2i_ray.data.pair_list import Pair
from p2i_ray.data.sources import delimited
from p2i_ray.data.sources.file_index import FileIndex
from p2i_ray.data.sources.product_names import clean
from p2i_ray.data.sources.rows import Row
from p2i_ray.errors import UserError

SHARDS = 10
_LIST = re.compile(r"(bg60k|bg1k|bgpair)_info\.txt", re.I)
_NUMBER = re.compile(r"\d+")
PAIRS, PICTURES = "bgpair", "bg1k"  # a list, and that of its pictures


def is_list(name: str) -> bool:
    """Whether a file is a list of one of the three data sets."""
    return bool(_LIST.fullmatch(posixpath.basename(name)))


def has_pairs(name: str) -> bool:
    """Whether a list is one of pairs."""
    found = _LIST.fullmatch(posixpath.basename(name))
    return bool(found and found[1].lower() == PAIRS)


class Pictures:
    """The pictures of BG1K that the lists of a source have, each with the id of its row, and the pairs of them."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self._files: dict[str, str] = {}  # by the rows' ids
        self._ids: dict[str, str] = {}  # by files

    def add(self, row: Row, *names: str) -> bool:
        """Whether a row shows a picture that no row has; else it gets that one's id.

        Args:
            row: of a picture.
            names: other ids for it, if that which it has is another picture's.
        """
        if row.file in self._ids:
            row.id = self._ids[row.file]
            return False
        row.id = next((id_ for id_ in (row.id, *names) if self._files.get(id_, row.file) == row.file), row.id)
        is_new = row.id not in self._files
        self._files.setdefault(row.id, row.file)
        if row.file:
            self._ids[row.file] = row.id
        return is_new


class _Line(NamedTuple):
    number: int
    origin: str
    fields: list[str]
    reason: str | None  # why it can't be used


class _Finder(NamedTuple):
    """Makes the rows of pictures."""

    kind: str
    files: FileIndex
    cut: bool  # there are cutouts

    def row(self, file: str, category: str, origin: str) -> Row:
        stem = posixpath.splitext(posixpath.basename(file))[0]
        row = Row("", category, category, id=f"{self.kind}-{stem}", origin=origin)
        try:
            row.file = _find(self.files, f"{self.kind}_imgs", stem, file)
            row.cutout = _find(self.files, f"{self.kind}_masks", stem, f"{stem}_mask.png") if self.cut else ""
        except ImageError as error:
            row.reason = str(error)
        return row


def read(content: bytes, location: str, index: FileIndex, known: Pictures) -> Iterator[Row]:
    """Yield a row a picture; of a list of pairs, one for each picture that no row has.

    The category is the product's name, too: the data sets have no other. Where there are cutouts, a picture without
    one is set aside; where there are none at all, products are cut by the cutter.

    Args:
        content: of the list.
        location: of the list, whose name says which data set it is.
        index: the source's files.
        known: the pictures of the source's other lists; gets this one's, and its pairs.

    Raises:
        UserError: the list is no text.
    """
    found = _LIST.fullmatch(posixpath.basename(location))
    if not found:
        raise UserError(f"names {location} is not called bg60k_info.txt, bg1k_info.txt or bgpair_info.txt")
    kind = found[1].lower()
    pictures = PICTURES if kind == PAIRS else kind
    finder = _Finder(pictures, index, any(f"{pictures}_masks" in name for name in index.files))
    lines = _lines(content, location, 3 if kind == PAIRS else 2)
    if kind == PAIRS:
        yield from _paired(list(lines), finder, known)
        return
    for line in lines:
        if line.reason:
            yield Row("", "", "", id=f"{kind}-line-{line.number}", origin=line.origin, reason=line.reason)
            continue
        row = finder.row(line.fields[0], line.fields[1], line.origin)
        if kind == PICTURES:
            known.add(row)
        yield row


def _lines(content: bytes, location: str, count: int) -> Iterator[_Line]:
    """The lines of a list, which have so many fields, the last of them the category."""
    for number, line in enumerate(delimited.decode(content, location)[0].splitlines(), start=1):
        if not line.strip():
            continue
        fields = [field.strip() for field in re.split(r"\t+", line.strip(), maxsplit=count - 1)]
        reason = f"bad row: {len(fields)} fields" if len(fields) != count else None
        yield _Line(number, f"{posixpath.basename(location)} line {number}", fields, reason)


def _paired(lines: Sequence[_Line], finder: _Finder, known: Pictures) -> Iterator[Row]:
    """Yield the rows of the pairs' pictures, and one for each line that is no pair."""
    named = [
        line if line.reason or clean(line.fields[-1]) else line._replace(reason="empty category") for line in lines
    ]
    ids: dict[int, list[str]] = {}
    for role in (0, 1):  # products first: the category is theirs
        for line in named:
            if line.reason is None:
                file = line.fields[role]
                row = finder.row(file, line.fields[2], line.origin)
                if known.add(row, f"{finder.kind}-{posixpath.basename(file)}", f"{finder.kind}-{file}"):
                    yield row
                ids.setdefault(line.number, []).append(row.id)
    earlier: dict[tuple[str, str], int] = {}
    for line in named:
        reason, (picture, reference) = line.reason, ids.get(line.number, ["", ""])
        if reason is None and (first := earlier.setdefault((picture, reference), line.number)) != line.number:
            reason = f"repeated pair: line {first} has it"
        category = clean(line.fields[-1])
        pair = Pair(f"{PAIRS}-{line.number}", picture, reference, category=category, reason=reason)
        known.pairs.append(pair)
        if reason:
            yield Row("", "", "", id=pair.id, origin=line.origin, reason=reason)


def _find(index: FileIndex, folder: str, stem: str, file: str) -> str:
    """The way to read a file; where there is none, the path that it should have."""
    number = _NUMBER.search(stem)
    shard = f"{folder}_{int(number[0]) % SHARDS}" if number else folder
    base = posixpath.basename(file)
    expected = posixpath.join(shard, base)
    for candidate in (expected, posixpath.join(folder, base), file):
        if found := index.find(candidate):
            return found
    return expected
