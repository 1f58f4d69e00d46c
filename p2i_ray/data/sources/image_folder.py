"""Read folders of pictures as Hugging Face `imagefolder` has them: a metadata file beside them, or a folder a class."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator

from p2i_ray.data.sources.file_index import PICTURE, FileIndex
from p2i_ray.data.sources.rows import Row

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
SPLITS = frozenset(("train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval"))
BESIDE = ("mask", "cutout")  # behind the last _ of a file's name: it belongs to the photo named before it


def metadata(names: Iterable[str]) -> list[str]:
    """The metadata files among a source's files; the paths that they name are relative to their own folders."""
    return sorted(name for name in names if posixpath.basename(name).lower() in METADATA)


def classes(index: FileIndex) -> Iterator[Row]:
    """Yield a row for each picture in a folder; the folder's name is its category, and as no other is known, its name.

    Folders named after splits count for nothing: splits are drawn anew. A mask or cutout lies beside its photo, as
    NAME_mask.png or NAME_cutout.png. In a source with such masks, one whose photo lacks is no photo itself.
    """
    names = sorted(name for name in index.files if PICTURE.search(name) and "/" in name)
    stems = {posixpath.splitext(name)[0] for name in names}
    beside: dict[tuple[str, str], str] = {}  # of a photo, by its name without its end, and by what it is
    for name in names:
        photo, kind = _belongs(name)
        if kind and photo in stems:
            beside[photo, kind] = name
    has_masks = any(kind == "mask" for _, kind in beside)
    for name in names:
        photo, kind = _belongs(name)
        if kind and photo in stems:
            continue
        label, stem = _category(name), posixpath.splitext(name)[0]
        row = Row(index.find(name) or name, label, label, origin=name)
        if kind == "mask" and has_masks and (stem, "mask") not in beside:
            row.reason = f"file missing: it is a mask by its name, and its photo {photo} is not beside it"
        for column in BESIDE if row.reason is None else ():
            if (stem, column) in beside:
                setattr(row, column, index.find(beside[stem, column]) or "")
        yield row


def _belongs(name: str) -> tuple[str, str]:
    """The photo, without its name's end, that a file would belong to by its own name, and what it would be of it."""
    photo, _, kind = posixpath.splitext(name)[0].rpartition("_")
    return (photo, kind.casefold()) if kind.casefold() in BESIDE else ("", "")


def _category(name: str) -> str:
    folders = [part for part in posixpath.dirname(name).split("/") if part.casefold() not in SPLITS]
    return folders[-1].replace("_", " ") if folders else ""
