"""An ingestion's driver: what it holds, bytes a row, and works, processor seconds a million rows.

The source is a folder of empty files and a CSV with 20,000 names, 300 categories and a group for every third row. No
picture is opened: fingerprints are random, and a few are alike. All else is what an ingestion does on its driver: the
list is read and checked, rows are put into their order and into slices, and when their reports are there, products are
found, splits assigned, the ledger written and shards listed.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from bench import children
from p2i_ray.config import Config, load
from p2i_ray.data.near_duplicates import BYTES

if TYPE_CHECKING:
    from p2i_ray.data.sources.slices import Slices

ROWS = (10_000, 100_000, 1_000_000)
NAMES, CATEGORIES = 20_000, 300
NAMES_OF_A_GROUP = 4
ROWS_OF_A_FOLDER = 1_000
ALIKE = 1_000  # one row of so many looks like the one behind it

Work = Callable[["Slices"], pa.Table]  # makes samples of slices of rows; the tasks' lines, see reports.Reports


def run() -> dict[str, float]:
    """Memory and processor time, by the number of rows; the text of a row for comparison."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="ingest-driver-") as name:
        for rows in ROWS:
            folder = Path(name, str(rows))
            text = write_list(folder, rows)
            cost = children.measure("bench.ingest_driver", folder)
            label = f"ingest_driver_{rows // 1000}k_rows"
            found[f"{label}_peak_mb"] = cost.peak_mb
            found[f"{label}_bytes_a_row"] = 1e6 * cost.peak_mb / rows
            found[f"{label}_text_bytes_a_row"] = text / rows
            found[f"{label}_processor_s_a_million"] = 1e6 * cost.processor_s / rows
            found[f"{label}_s_a_million"] = 1e6 * cost.seconds / rows
    return found


def write_list(folder: Path, rows: int) -> int:
    """Write a folder of empty files and names.csv; returns the list's bytes."""
    folder.mkdir()
    with (folder / "names.csv").open("w", encoding="utf-8") as lines:
        lines.write("id,file,name,category,group\n")
        for row in range(rows):
            inside = folder / f"{row // ROWS_OF_A_FOLDER:04d}"
            if row % ROWS_OF_A_FOLDER == 0:
                inside.mkdir()
            (inside / f"{row}.jpg").touch()
            name = row * 7919 % NAMES  # those of neighbours are apart
            group = f"style {name // NAMES_OF_A_GROUP}" if row % 3 == 0 else ""
            file, category = f"{inside.name}/{row}.jpg", f"Category {name % CATEGORIES}"
            lines.write(f"sku-{row},{file},Product of number {name},{category},{group}\n")
    return (folder / "names.csv").stat().st_size


def report(rows: pa.Table) -> pa.Table:
    """A task's report of a slice: all are samples of one shard, with random fingerprints."""
    from p2i_ray.data.sources.tasks import report_schema

    first, number = rows["row"][0].as_py(), rows.num_rows
    prints = np.random.default_rng(first).integers(0, 256, (number, BYTES), np.uint8)
    alike = np.flatnonzero((np.arange(first, first + number - 1)) % ALIKE == 0)
    prints[alike] = prints[alike + 1]
    kind = pa.binary(BYTES)
    columns: dict[str, Any] = {
        "row": rows["row"],
        "file": [f"part-{first:032x}.parquet"] * number,
        "place": np.arange(number, dtype=np.int32),
        "scene": [True] * number,
        "fingerprint": pa.Array.from_buffers(kind, number, [None, pa.py_buffer(prints)]).cast(pa.binary()),
        "reason": [None] * number,
    }
    return pa.table(columns, schema=report_schema())


def reported(slices: Slices) -> pa.Table:
    """The lines of all slices, as they come from tasks."""
    from p2i_ray.data.sources.reports import Reports

    found = Reports(sum(one.num_rows for one in slices))
    for one in slices:
        found.add(report(one))
    return found.table()


def drive(folder: Path, work: Work = reported) -> tuple[dict[str, int], object]:
    """Do the driver's part for all rows; the rows of each split, and what is held at the end."""
    from p2i_ray.data.sources import additions, bookkeeping, ingest, ledger, source
    from p2i_ray.data.sources.tasks import IngestConfig, Plan

    out = f"{folder}-out"
    rows = source.read(str(folder), str(folder / "names.csv")).rows
    plan = Plan(str(folder), out, settings=IngestConfig(), image=load(Config, "mini").image, seed=0)
    ingest.check(rows, plan)
    before = ledger.read(out)
    arranged = bookkeeping.arrange(rows, before, plan.seed)
    lines = work(bookkeeping.slices(arranged.new, plan.settings, at_once=2))
    settled = bookkeeping.settle(arranged, lines, before, plan=plan)
    shards = bookkeeping.shards(settled.samples, plan.settings)
    assert sum(one.num_rows for one in shards) == settled.lines.num_rows
    ledger.write(settled.lines, plan, out)
    additions.rejected_elsewhere(rows, out)
    assert additions.gone(rows, before) == 0
    counts = settled.lines["split"].value_counts().to_pylist()
    return {line["values"]: line["counts"] for line in counts}, (rows, arranged, lines, settled)


def main() -> None:
    """In a child: load what the work needs, and then do it."""
    import scipy.sparse.csgraph  # noqa: F401

    from p2i_ray.data.sources import ingest, source  # noqa: F401

    children.timed(lambda: drive(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
