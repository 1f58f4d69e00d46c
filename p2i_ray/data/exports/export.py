"""Export EPBD on the workers: each task reads some row groups of a split and writes their rows, in order.

Pictures are copied byte for byte and never leave the tasks. The same data and settings give the same files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from p2i_ray.cluster.resources import READ
from p2i_ray.data import conform, footers, rejected
from p2i_ray.data.exports import image_folder, readme, records, webdataset
from p2i_ray.data.exports.image_folder import Metadata
from p2i_ray.data.exports.records import Record
from p2i_ray.data.images import ImageError
from p2i_ray.data.schema import REJECTED_SCHEMA, SCHEMA, SPLITS
from p2i_ray.errors import UserError
from p2i_ray.storage import folders, locations

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Format = Literal["webdataset", "imagefolder"]
ROWS_READ = 64  # rows with pictures that are read at once
LINES = ".lines"  # folder of the parts of metadata.csv


class Task(NamedTuple):
    """Some row groups of a split, which follow each other."""

    split: str
    number: int  # of the first tar that it may write
    groups: list[tuple[str, int]]  # (file, row group)
    columns: list[str]


class Exported(NamedTuple):
    """The outcome of the rows."""

    parts: dict[str, int]  # split, or its rows without a scene -> rows
    set_aside: dict[str, int]  # reason -> rows


def plan(data: str, rows_per_tar: int) -> list[Task]:
    """The tasks of an export, by the footers of the data's files.

    Raises:
        UserError: no data there, or not of the columns and types that EPBD has.
    """
    found = [split for split in SPLITS if folders.files(locations.join(data, split), ".parquet")]
    found = found or footers.split_files(data, SPLITS[0])  # which raises, and says what is wrong
    has_group = all("group" in footers.columns(data, split) for split in found)
    columns = [*SCHEMA.names, *(["group"] if has_group else [])]
    tasks = []
    for split in found:
        files = footers.split_files(data, split)
        task, rows, number = Task(split, 0, [], columns), 0, 0
        for file, sizes in zip(
            files, footers.each(files, lambda file, footer: _checked(file, footer, columns)), strict=True
        ):
            for group, size in enumerate(sizes):
                task.groups.append((file, group))
                rows += size
                if rows >= rows_per_tar:
                    tasks.append(task)
                    number += -(-rows // rows_per_tar)
                    task, rows = Task(split, number, [], columns), 0
        tasks += [task] if task.groups else []
    return tasks


def _checked(file: str, footer: pq.FileMetaData, columns: list[str]) -> list[int]:
    """The rows of each row group of a file that has the columns."""
    footers.check(file, footer, columns)
    return [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]


def export(
    data: str,
    out: str,
    *,
    kind: Format,
    rows_per_tar: int,
    metadata: Metadata = "parquet",
    progress: Callable[[int], None] | None = None,
) -> Exported:
    """Export all splits into a folder. Ray must be connected.

    Args:
        data: EPBD folder.
        out: folder of the export; files of the same names are replaced.
        kind: the form.
        rows_per_tar: of a webdataset, at most; of an imagefolder, those that a task holds.
        metadata: the kind of an imagefolder's metadata file.
        progress: called with the number of rows done.

    Raises:
        UserError: the data can't be read, no row can be exported, or two rows have one id.
    """
    import ray.data

    tasks = plan(data, rows_per_tar)
    items = [{**task._asdict(), "groups": [{"file": f, "group": g} for f, g in task.groups]} for task in tasks]
    lines = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        _run,
        fn_kwargs={"out": out, "kind": kind, "rows_per_tar": rows_per_tar},
        batch_format="pyarrow",
        batch_size=1,
        **READ.task_options(),
    )
    found: list[dict[str, Any]] = []
    for line in lines.iter_rows():
        found.append(line)
        if progress:
            progress(line["rows"] or 1)
    return finish(found, out, kind=kind, columns=tasks[0].columns, metadata=metadata)


def run(task: Task, out: str, *, kind: Format, rows_per_tar: int) -> Iterator[dict[str, Any]]:
    """Do a task; yields a line for each batch of rows that it wrote, and for each row that is set aside.

    A line has part, rows, the location of the batch's metadata (if any); or id and reason.
    """
    waiting: dict[str, list[Record]] = {}
    numbers: Counter[str] = Counter()
    for row in _rows(task):
        try:
            record = records.from_row(row)
        except ImageError as error:
            yield {"part": task.split, "rows": 0, "lines": "", "id": row["id"], "reason": str(error)}
            continue
        part = record.part(task.split)
        waiting.setdefault(part, []).append(record)
        if len(waiting[part]) == rows_per_tar:
            yield _write(waiting.pop(part), part, task.number + numbers[part], out=out, kind=kind)
            numbers[part] += 1
    for part, batch in waiting.items():
        yield _write(batch, part, task.number + numbers[part], out=out, kind=kind)


def _run(batch: pa.Table, **arguments: Any) -> Iterator[pa.Table]:
    import pyarrow as pa

    for item in batch.to_pylist():
        groups = [(group["file"], group["group"]) for group in item.pop("groups")]
        for line in run(Task(groups=groups, **item), **arguments):
            yield pa.Table.from_pylist([line])


def _write(batch: Sequence[Record], part: str, number: int, *, out: str, kind: Format) -> dict[str, Any]:
    name, lines = f"{part}-{number:06d}", ""
    if kind == "webdataset":
        webdataset.write(batch, locations.join(out, f"{name}.tar"))
    else:
        lines = locations.join(out, LINES, f"{name}.csv")
        image_folder.write(batch, locations.join(out, part), lines)
    return {"part": part, "rows": len(batch), "lines": lines, "id": "", "reason": ""}


def finish(
    lines: list[dict[str, Any]], out: str, *, kind: Format, columns: Sequence[str], metadata: Metadata = "parquet"
) -> Exported:
    """Write what is of all tasks together, and count their lines."""
    import pyarrow as pa

    parts: Counter[str] = Counter()
    for line in lines:
        parts[line["part"]] += line["rows"]
    texts = [column for column in columns if column not in ("image", "cutout")]
    for part in parts:
        if places := sorted(line["lines"] for line in lines if line["part"] == part and line["lines"]):
            image_folder.join(places, locations.join(out, part), texts, metadata)
    locations.remove(locations.join(out, LINES))
    aside = [{"id": line["id"], "source": line["part"], "reason": line["reason"]} for line in lines if line["reason"]]
    if aside:
        table = pa.Table.from_pylist(sorted(aside, key=lambda row: (row["source"], row["id"])), schema=REJECTED_SCHEMA)
        locations.write_bytes(locations.join(out, rejected.NAME), rejected.to_csv(table))
    if not +parts:
        raise UserError(f"no row can be exported; of {aside[0]['id']!r}: {aside[0]['reason']}")
    ordered = [part for split in SPLITS for part in (split, f"{split}{records.WITHOUT_SCENE}") if parts[part]]
    done = Exported(
        {part: parts[part] for part in ordered}, dict(Counter(row["reason"] for row in aside).most_common())
    )
    locations.write_text(locations.join(out, "README.md"), readme.text(done.parts, kind))
    return done


def _rows(task: Task) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file, group in task.groups:
        filesystem, path = locations.open_location(file)
        with filesystem.open(path, "rb") as content:
            for batch in pq.ParquetFile(content).iter_batches(ROWS_READ, row_groups=[group], columns=task.columns):
                yield from conform.conform(pa.Table.from_batches([batch])).to_pylist()
