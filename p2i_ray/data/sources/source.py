"""What a source holds, and which reader reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2i_ray.data.sources import listing
from p2i_ray.data.sources.file_index import FileIndex
from p2i_ray.data.sources.rows import INSIDE, to_table
from p2i_ray.errors import UserError
from p2i_ray.storage import locations

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Read:
    """What was read of a source.

    Args:
        root: folder that the rows' paths are relative to.
        rows: one a picture of a product, see `rows.SCHEMA`.
        notes: what a user should know, a line each.
    """

    root: str
    rows: pa.Table
    notes: list[str]


def read(source: str, names: str, category: str = "") -> Read:
    """Read the rows of a source; no picture is opened.

    Args:
        source: folder of the photos.
        names: list of the products.
        category: of rows without one.

    Raises:
        UserError: nothing there, or it can't be read; one line says what and where.
    """
    if locations.kind(source) != "directory":
        raise UserError(f"source {source} is not a folder that is there; it holds the photos")
    index = FileIndex({name: name for name in locations.files_below(source) if INSIDE not in name}, source)
    rows = to_table(listing.read(names, index, category))
    if not rows.num_rows:
        raise UserError(f"names {names} has a header and no rows")
    notes = []
    if (encoding := listing.encoding(names)) not in ("UTF-8", "UTF-16"):
        notes.append(f"{names} is not UTF-8 and was read as {encoding}; check the names in preview.png")
    if unlisted := index.unlisted():
        notes.append(f"{len(unlisted)} pictures in source have no row, such as {unlisted[0]}")
    return Read(source, rows, notes)
