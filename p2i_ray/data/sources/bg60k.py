"""Read BG60k, BG1K and BG-Pair as they are published: pictures with a category and a cutout, and no product names.

`bg60k_info.txt` has no header and a line `N.png<TAB>category` a picture. The picture is `bg60k_imgs_K/N.png` and its
cutout the RGBA file `bg60k_masks_K/N_mask.png`, K = N mod 10, in folders or in zips of the same names. BG1K has the
same; a line of `bgpair_info.txt` has a picture, a reference in the style wanted, and a category, both from BG1K.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from p2i_ray.data.errors import ImageError
from p2i_ray.data.sources import delimited
from p2i_ray.data.sources.file_index import FileIndex
from p2i_ray.data.sources.rows import Row
from p2i_ray.errors import UserError

SHARDS = 10
_LIST = re.compile(r"(bg60k|bg1k|bgpair)_info\.txt", re.I)
_NUMBER = re.compile(r"\d+")
PAIRS = "bgpair"


def is_list(name: str) -> bool:
    """Whether a file is a list of one of the three data sets."""
    return bool(_LIST.fullmatch(posixpath.basename(name)))


def read(content: bytes, location: str, index: FileIndex) -> Iterator[Row]:
    """Yield a row a picture; of a pair, both pictures, in one group.

    The category is the product's name, too: the data sets have no other. Where there are cutouts, a picture without
    one is set aside; where there are none at all, products are cut by the cutter.

    Args:
        content: of the list.
        location: of the list, whose name says which data set it is.
        index: the source's files.

    Raises:
        UserError: the list is no text.
    """
    found = _LIST.fullmatch(posixpath.basename(location))
    if not found:
        raise UserError(f"names {location} is not called bg60k_info.txt, bg1k_info.txt or bgpair_info.txt")
    kind = found[1].lower()
    pictures = "bg1k" if kind == PAIRS else kind
    cut = any(f"{pictures}_masks" in name for name in index.files)
    for number, line in enumerate(delimited.decode(content, location)[0].splitlines(), start=1):
        if not line.strip():
            continue
        fields = [field.strip() for field in re.split(r"\t+", line.strip(), maxsplit=2 if kind == PAIRS else 1)]
        origin = f"{posixpath.basename(location)} line {number}"
        if len(fields) != (3 if kind == PAIRS else 2):
            yield Row("", "", "", id=f"{kind}-line-{number}", origin=origin, reason=f"bad row: {len(fields)} fields")
            continue
        *files, category = fields
        for file, role in zip(files, ("", "-reference"), strict=False):
            stem = posixpath.splitext(posixpath.basename(file))[0]
            own = f"{kind}-{number}{role}" if kind == PAIRS else f"{kind}-{stem}"
            row = Row("", category, category, id=own, group=f"{kind}-{number}" if kind == PAIRS else "", origin=origin)
            try:
                row.file = _find(index, f"{pictures}_imgs", stem, file)
                row.cutout = _find(index, f"{pictures}_masks", stem, f"{stem}_mask.png") if cut else ""
            except ImageError as error:
                row.reason = str(error)
            yield row


def _find(index: FileIndex, folder: str, stem: str, file: str) -> str:
    """How a file is read; where there is none, the path that it should have."""
    number = _NUMBER.search(stem)
    shard = f"{folder}_{int(number[0]) % SHARDS}" if number else folder
    base = posixpath.basename(file)
    expected = posixpath.join(shard, base)
    for candidate in (expected, posixpath.join(folder, base), file):
        if found := index.find(candidate):
            return found
    return expected
