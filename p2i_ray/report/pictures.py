"""The report's pictures: a few rows, found by id without loading the rest, as small data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.data import conform
from p2i_ray.data.images import ImageError, decode
from p2i_ray.storage import locations

SIDE = 256  # longest side of a picture on the page, pixels
READ_ROWS = 16  # rows with pictures that are in memory at once


def rows_by_id(files: Sequence[str], ids: Collection[str], columns: list[str]) -> dict[str, dict[str, Any]]:
    """Rows of Parquet files by id; ids that aren't there are missing from the answer.

    Only row groups that hold a wanted id are read, a few rows at a time.
    """
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        with _open(file) as parquet:
            for group in range(parquet.num_row_groups):
                wanted = set(ids) & set(_ids(parquet, group)) - found.keys()
                if wanted:
                    found |= _rows(parquet, group, wanted, ["id", *columns])
        if len(found) == len(set(ids)):
            break
    return found


def first_ids(files: Sequence[str], row_groups: int) -> list[str]:
    """The ids of the first row groups: a part of large data from which examples are cheap to fetch."""
    ids: list[str] = []
    for file in files:
        with _open(file) as parquet:
            for group in range(min(row_groups, parquet.num_row_groups)):
                ids += _ids(parquet, group)
                row_groups -= 1
        if not row_groups:
            break
    return ids


def spread(rows: pa.Table, count: int) -> list[str]:
    """Ids of rows (id, category), taking each category in turn; the same rows give the same ids."""
    by_category: dict[str, list[str]] = {}
    for row in sorted(rows.to_pylist(), key=lambda row: row["id"]):
        by_category.setdefault(row["category"], []).append(row["id"])
    queues, picked = [by_category[name] for name in sorted(by_category)], []
    for turn in range(max(map(len, queues), default=0)):
        picked += [queue[turn] for queue in queues if turn < len(queue)]
    return picked[:count]


def data_uri(encoded: bytes | None, limits: ImageConfig, side: int = SIDE) -> str | None:
    """A picture, made small (no side is longer than `side` pixels), as a data URI; none if it can't be decoded."""
    try:
        picture = decode(encoded, limits)
    except ImageError:
        return None
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    lossless = max(picture.size) <= SIDE // 2
    picture.save(out, "WEBP", lossless=lossless, quality=100 if lossless else 85)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"


def _open(location: str) -> pq.ParquetFile:
    filesystem, path = locations.open_location(location)
    return pq.ParquetFile(filesystem.open(path))


def _ids(parquet: pq.ParquetFile, group: int) -> list[str]:
    ids: list[str] = conform.as_text(parquet.read_row_group(group, ["id"])["id"]).to_pylist()
    return ids


def _rows(parquet: pq.ParquetFile, group: int, wanted: set[str], columns: list[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for batch in parquet.iter_batches(READ_ROWS, row_groups=[group], columns=columns):
        rows = conform.conform(pa.Table.from_batches([batch]))
        ids = rows["id"].to_pylist()
        found |= {id_: rows.slice(i, 1).to_pylist()[0] for i, id_ in enumerate(ids) if id_ in wanted}
        if len(found) == len(wanted):
            break
    return found
