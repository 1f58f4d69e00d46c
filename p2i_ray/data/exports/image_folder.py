"""Write Hugging Face's `imagefolder`: a folder a split, pictures as files, and their texts in a metadata file.

That is Parquet by default: of CSV, `datasets` guesses the types, so that the id 007 is read as 7, the name NA as
nothing, and parts whose ids look different are refused.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Literal

import pyarrow as pa

from p2i_ray.data.exports.records import Record
from p2i_ray.errors import UserError
from p2i_ray.storage import locations, parquet

Metadata = Literal["parquet", "csv"]
FILES = ("file_name", "cutout_file_name")  # Hugging Face's names for the columns `image` and `cutout`


def write(records: Sequence[Record], folder: str, lines: str) -> None:
    """Write the records' pictures into a split's folder, and their lines of its metadata into a file for `join`.

    Args:
        records: with a photo all, or without all; then the cutout is the picture.
        folder: of the split.
        lines: location of the lines, which have no header.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    for record in records:
        cutout = f"cutouts/{record.key}.{record.cutout.suffix}"
        photo = f"images/{record.key}.{record.photo.suffix}" if record.photo else cutout
        locations.write_bytes(locations.join(folder, cutout), record.cutout.content)
        if record.photo:
            locations.write_bytes(locations.join(folder, photo), record.photo.content)
        writer.writerow([photo, cutout, *record.texts.values()])
    locations.write_text(lines, out.getvalue())


def join(lines: Iterable[str], folder: str, columns: Sequence[str], kind: Metadata = "parquet") -> None:
    """Write a split's metadata from the files with its lines.

    Args:
        lines: locations of what `write` wrote.
        folder: of the split.
        columns: of the texts.
        kind: of the metadata file.

    Raises:
        UserError: two rows would have one file, on this disk or on one where A and a are one letter.
    """
    rows = [row for part in lines for row in csv.reader(io.StringIO(locations.read_text(part), newline=""))]
    seen: dict[str, str] = {}
    for photo, _, id, *_ in rows:
        if photo.casefold() in seen:
            other = seen[photo.casefold()]
            both = f"two rows have the id {id}" if id == other else f"the ids {other} and {id} differ by case alone"
            raise UserError(f"{both}, and their files would be one; give each row an id of its own")
        seen[photo.casefold()] = id
    location = locations.join(folder, f"metadata.{kind}")
    header = [*FILES, *columns]
    if kind == "parquet":
        texts = {
            name: pa.array(values, pa.string()) for name, values in zip(header, zip(*rows, strict=True), strict=True)
        }
        parquet.write_table(pa.table(texts), location)
        return
    out = io.StringIO(newline="")
    csv.writer(out).writerows([header, *rows])
    locations.write_text(location, out.getvalue())
