"""Small pictures of some rows that were set aside, so that one can see what a rule removes.

<out>/rejected_examples/part-*.parquet   id, name, reason and picture: up to `MOST` rows of each kind of reason

The rows are chosen by a hash of their ids: the same ones, however many tasks there were and in whichever order, and
after an addition the same as if all had come at once. Pictures that can't be decoded have none.
"""

from __future__ import annotations

import hashlib
import heapq
import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from PIL import Image

from p2i_ray.data import writing
from p2i_ray.data.images import ImageError, decode
from p2i_ray.data.rejected import kind
from p2i_ray.data.schema import EXAMPLES, EXAMPLES_SCHEMA
from p2i_ray.data.sources.pictures import PictureReader, position
from p2i_ray.data.sources.tasks import KILLER
from p2i_ray.storage import folders, locations, parquet

if TYPE_CHECKING:
    import pyarrow as pa

    from p2i_ray.data.sources.tasks import Plan

MOST = 8  # rows of each kind of reason
SIDE = 128  # longest side of a picture, pixels
QUALITY = 80  # of WebP: about 3 kB a picture


def choose(rows: pa.Table, aside: Iterable[Mapping[str, Any]]) -> pa.Table:
    """The rows whose pictures are to be shown, with the column reason.

    Args:
        rows: of the source, whose ids are unique.
        aside: id and reason of those that were set aside.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    # What ended its reader would end this one, too.
    reasons = {line["id"]: line["reason"] for line in _first(aside) if kind(line["reason"]) != KILLER}
    chosen = rows.filter(pc.is_in(rows["id"], value_set=pa.array(reasons, pa.string())))
    if "reason" in chosen.column_names:
        chosen = chosen.drop_columns(["reason"])
    return chosen.append_column("reason", pa.array([reasons[id] for id in chosen["id"].to_pylist()], pa.string()))


def make(batch: pa.Table, plan: Plan) -> pa.Table:
    """Make the small pictures of rows; a line for each, with its number, whose picture is null if it has none."""
    found = []
    with PictureReader(plan.source, plan.image.max_bytes) as reader:
        for row in sorted(batch.to_pylist(), key=lambda row: position(row["file"] or row["cutout"])):
            try:
                picture = decode(reader.read(row["file"] or row["cutout"]), plan.image, at_least=SIDE)
            except ImageError:
                found.append({**row, "image": None})
            else:
                found.append({**row, "image": {"bytes": _small(picture), "path": None}})
    return _lines(found)


def without_picture(row: pa.Table) -> pa.Table:
    """The line of a row, as `make` has it, whose picture ended the process that read it."""
    return _lines([{**line, "image": None} for line in row.to_pylist()])


def slices(chosen: pa.Table) -> list[pa.Table]:
    """The rows of each task."""
    return [chosen.slice(start, MOST).combine_chunks() for start in range(0, chosen.num_rows, MOST)]


def kept(data: str, rejected: pa.Table) -> pa.Table:
    """The examples of earlier ingestions that are among rows which stay set aside."""
    import pyarrow.compute as pc

    before = read(data)
    return before.filter(pc.is_in(before["id"], value_set=rejected["id"]))


def write(tables: list[pa.Table], building: str) -> list[str]:
    """Write examples as one file, `MOST` of each kind of reason; an id counts where it comes first.

    Args:
        tables: with the columns of EXAMPLES_SCHEMA; lines without a picture don't count.
        building: folder of what isn't finished.

    Returns:
        The files' names below EXAMPLES in it; none where there are no examples.
    """
    import pyarrow as pa

    lines: dict[str, dict[str, Any]] = {}
    shown = [table.select(EXAMPLES_SCHEMA.names).cast(EXAMPLES_SCHEMA) for table in tables]
    for line in pa.concat_tables([EXAMPLES_SCHEMA.empty_table(), *shown]).to_pylist():
        if line["image"] is not None:
            lines.setdefault(line["id"], line)
    rows = sorted(_first(lines.values()), key=lambda line: (kind(line["reason"]), line["id"]))
    return [writing.write_shard(rows, locations.join(building, EXAMPLES), EXAMPLES_SCHEMA)] if rows else []


def read(data: str) -> pa.Table:
    """The examples of a data folder; none if it has none."""
    folder = locations.join(data, EXAMPLES)
    names = folders.names(folder, ".parquet")
    return parquet.read_parquet(folder, names) if names else EXAMPLES_SCHEMA.empty_table()


def _first(lines: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Of each kind of reason the lines whose ids have the smallest hashes."""
    heaps: dict[str, list[tuple[int, str, Mapping[str, Any]]]] = {}
    for line in lines:
        heap = heaps.setdefault(kind(line["reason"]), [])
        entry = (-_hash(line["id"]), line["id"], line)  # the largest hash is on top
        if len(heap) < MOST:
            heapq.heappush(heap, entry)
        else:
            heapq.heappushpop(heap, entry)
    return [line for heap in heaps.values() for *_, line in heap]


def _lines(found: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist(found, schema=EXAMPLES_SCHEMA.append(pa.field("row", pa.int64())))


def _hash(id: str) -> int:
    return int.from_bytes(hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def _small(picture: Image.Image) -> bytes:
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=QUALITY)
    return out.getvalue()
