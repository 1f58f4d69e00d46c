"""What tasks report, in the order of the rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from p2i_ray.data.near_duplicates import BYTES
from p2i_ray.data.sources.reports import Reports
from p2i_ray.data.sources.tasks import report_schema


def line(row: int, **found: Any) -> dict[str, Any]:
    basis = {"file": f"{row // 2}.parquet", "place": None, "scene": None, "fingerprint": None, "reason": None}
    return {"row": row, **basis, **found}


def test_lines_come_in_any_order_and_lie_in_that_of_the_rows() -> None:
    lines = [
        line(0, place=0, scene=True, fingerprint=bytes([1] * BYTES)),
        line(1, reason="too small"),
        line(2, place=0, scene=False, fingerprint=bytes([2] * BYTES)),
        line(3, place=1, scene=True),
    ]
    reports = Reports(4)
    for some in (lines[2:], lines[:2][::-1]):
        reports.add(pa.Table.from_pylist(some, schema=report_schema()))
    found = reports.table().to_pylist()
    assert found == [{**expected, "scene": bool(expected["scene"])} for expected in lines]


def test_without_fingerprints_and_without_rows() -> None:
    reports = Reports(3)
    reports.add(pa.Table.from_pylist([line(2, place=0, scene=True)], schema=report_schema()))
    assert [(row["row"], row["fingerprint"]) for row in reports.table().to_pylist()] == [(2, None)]  # of others nothing
    assert Reports(0).table().num_rows == 0
