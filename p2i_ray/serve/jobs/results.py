"""A finished job's result: a zip of the pictures with results.json, results.csv and summary.json."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from p2i_ray.config.loading import flat
from p2i_ray.serve.jobs.schema import Job, JobItem, Record
from p2i_ray.serve.jobs.summary import summary
from p2i_ray.storage import spreadsheet

COLUMNS = ("index", "name", "style", "size", "seed", "status", "reason", "score", "file")
CLASHING = "picture."  # before a picture's own field that has the name of an item's column


def record(item: JobItem, outcome: Mapping[str, Any]) -> Record:
    """An item's entry of results.json.

    Args:
        item: of the job.
        outcome: its status, and what was stored of it.
    """
    size = item.size or item.ask.size
    base = {"index": item.index, "name": item.ask.prompt, "style": item.style, "size": size}
    return {**base, "reason": None, "pictures": [], **outcome}


def write_zip(out: Any, job: Job, records: Sequence[Record], pictures: Path) -> None:
    """Write the result.

    Args:
        out: a file open for writing bytes.
        job: that is finished.
        records: of its items, in their order.
        pictures: the folder of the files that they name.
    """
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as result:
        for one in records:
            for picture in one["pictures"]:
                result.write(pictures / picture["file"], picture["file"])
        result.writestr("results.json", _json(records))
        result.writestr("results.csv", to_csv(records))
        result.writestr("summary.json", _json(summary(job, records)))


def to_csv(records: Sequence[Record]) -> bytes:
    """Results as a table, a row a picture; an item without pictures has one row.

    UTF-8 with a byte order mark, without which Excel reads another encoding. A text that would be a formula gets an
    apostrophe in front; numbers stay numbers.
    """
    rows = [row for one in records for row in _rows(one)]
    further = list(dict.fromkeys(name for row in rows for name in row if name not in COLUMNS))
    out = io.StringIO()
    lines = csv.writer(out)
    lines.writerow([*COLUMNS, *map(spreadsheet.as_text, further)])
    for row in rows:
        lines.writerow([_cell(row.get(name)) for name in (*COLUMNS, *further)])
    return out.getvalue().encode("utf-8-sig")


def _rows(one: Record) -> Iterator[dict[str, Any]]:
    """A row for each picture of an item: its labels, then what the picture says of itself."""
    item = {name: one.get(name) for name in ("index", "name", "style", "size", "status", "reason")}
    for picture in one["pictures"] or [{}]:
        row = dict(item)
        for name, value in flat(picture):
            if name == "size" or (name == "reason" and row["reason"] is None):
                row[name] = value  # of the file; the judge's: a failed item has no picture
            else:
                row[f"{CLASHING}{name}" if name in item else name] = value
        yield row


def _cell(value: Any) -> Any:
    """A cell's value: numbers as they are, anything else as text."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    return spreadsheet.as_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False)
