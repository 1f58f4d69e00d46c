"""Write EPBD to disk or bucket: samples, and shards of them under unique names."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from p2i_ray.data.images import Pixels, encode_cutout, encode_jpeg, encode_png
from p2i_ray.data.schema import SCHEMA
from p2i_ray.storage import locations, parquet

ROW_GROUP = 32  # rows; the least a reader holds in memory, about 20 MB at 512 pixels


def sample(
    id: str,
    name: str,
    category: str,
    *,
    cutout: Pixels,
    picture: Pixels | None,
    lossless: bool = False,
    quality: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Make a row of EPBD.

    Args:
        id: unique over all splits.
        name: P.
        category: of the product.
        cutout: C, (H, W, 4); its alpha is the mask m, 255 where the product is.
        picture: I, (H, W, 3); None: the product has no photo with a background.
        lossless: store the picture as PNG, not as JPEG of quality 95. The cutout is always PNG.
        quality: figures of the cutout, as schema.QUALITY has them.
    """
    file = re.sub(r"[/\\\\]", "_", id)  # a SKU may have slashes, which are no folders
    image = None
    if picture is not None:
        encoded, suffix = (encode_png(picture), "png") if lossless else (encode_jpeg(picture), "jpg")
        image = {"bytes": encoded, "path": f"{file}.{suffix}"}
    return {
        "id": id,
        "name": name,
        "category": category,
        "image": image,
        "cutout": {"bytes": encode_cutout(cutout), "path": f"{file}-cutout.png"},
        "quality": quality,
    }


def write_shard(
    rows: Iterable[Mapping[str, Any]] | pa.Table, folder: str, schema: pa.Schema = SCHEMA, *, row_group: int = ROW_GROUP
) -> str:
    """Write rows as one Parquet file into a folder; returns its name, which is unique."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows), schema=schema)
    name = _new_name()
    parquet.write_table(table, locations.join(folder, name), row_group)
    return name


def write_groups(groups: Iterable[pa.Table], folder: str, schema: pa.Schema) -> str:
    """The same for rows that come as tables, each a row group, of which one is in memory at a time."""
    name = _new_name()
    parquet.write_groups(groups, locations.join(folder, name), schema)
    return name


def read_rows(file: str, places: Sequence[int]) -> pa.Table:
    """Rows of a Parquet file by their places, which ascend, holding one row group and those rows at a time."""
    filesystem, path = locations.open_location(file)
    wanted = np.asarray(places)
    with filesystem.open(path, "rb") as opened:
        content = pq.ParquetFile(opened)
        ends = np.cumsum([content.metadata.row_group(group).num_rows for group in range(content.num_row_groups)])
        home = np.searchsorted(ends, wanted, side="right")
        parts = []
        for group in np.unique(home).tolist():
            start = int(ends[group - 1]) if group else 0
            parts.append(content.read_row_group(group).take(wanted[home == group] - start))
    return pa.concat_tables(parts)


def _new_name() -> str:
    return f"part-{uuid.uuid4().hex}.parquet"
