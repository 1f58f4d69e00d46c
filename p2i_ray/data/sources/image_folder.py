"""Read folders of pictures as Hugging Face `imagefolder` has them: a metadata file beside them, or a folder a class."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator

from p2i_ray.data.sources.file_index import PICTURE, FileIndex
from p2i_ray.data.sources.rows import Row

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
SPLITS = frozenset(("train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval"))
BESIDE = ("_mask", "_cutout")  # at the end of a file's name: it belongs to the photo of the same name


def metadata(names: Iterable[str]) -> list[str]:
    """The metadata files among a source's files; the paths that they name are relative to their own folders."""
    return sorted(name for name in names if posixpath.basename(name).lower() in METADATA)


def classes(index: FileIndex) -> Iterator[Row]:
    """Yield a row for each picture in a folder; the folder's name is its category, and as no other is known, its name.

    Folders named after splits count for nothing: splits are drawn anew. A mask or cutout lies beside its photo, as
    NAME_mask.png or NAME_cutout.png.
    """
    stems = {posixpath.splitext(name)[0]: name for name in sorted(index.files) if PICTURE.search(name) and "/" in name}
    for stem, name in stems.items():
        if not any(stem.endswith(kind) and stem.removesuffix(kind) in stems for kind in BESIDE):
            mask, cutout = (index.find(stems[f"{stem}{kind}"]) if f"{stem}{kind}" in stems else "" for kind in BESIDE)
            label = _category(name)
            yield Row(index.find(name) or name, label, label, mask=mask or "", cutout=cutout or "", origin=name)


def _category(name: str) -> str:
    folders = [part for part in posixpath.dirname(name).split("/") if part.casefold() not in SPLITS]
    return folders[-1].replace("_", " ") if folders else ""
