"""What tasks report of the rows, in columns that are made once: about 70 bytes a row, in the order of the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p2i_ray.data import text_columns
from p2i_ray.data.near_duplicates import BYTES, of_column

if TYPE_CHECKING:
    import pyarrow as pa


class Reports:
    """Takes the tasks' lines as they come, in any order.

    Args:
        rows: number of rows of which there will be a line, which are numbered from 0.
    """

    def __init__(self, rows: int) -> None:
        self._texts: dict[str, dict[str, int]] = {"file": {}, "reason": {}}
        self._numbers = {column: np.full(rows, -1, np.int32) for column in self._texts}
        self._place = np.full(rows, -1, np.int32)
        self._scene = np.zeros(rows, np.bool_)
        self._fingerprint: NDArray[np.uint8] | None = None  # until there is one
        self._has_fingerprint = np.zeros(rows, np.bool_)

    def add(self, lines: pa.Table) -> None:
        """Take lines of rows, see tasks.report_schema."""
        rows = lines["row"].to_numpy()
        for column, known in self._texts.items():
            numbers, texts = text_columns.encode(lines[column])
            own = np.array([known.setdefault(text, len(known)) for text in texts.to_pylist()] + [-1], np.int32)
            self._numbers[column][rows] = own[numbers]
        self._place[rows] = lines["place"].fill_null(-1).to_numpy()
        self._scene[rows] = lines["scene"].fill_null(False).to_numpy()
        has = lines["fingerprint"].is_valid().to_numpy()
        if has.any():
            if self._fingerprint is None:
                self._fingerprint = np.zeros((len(self._scene), BYTES), np.uint8)
            self._fingerprint[rows[has]] = of_column(lines["fingerprint"].drop_null())
            self._has_fingerprint[rows[has]] = True

    def table(self) -> pa.Table:
        """The lines by their rows, without a row of which nothing was reported; this may not be used any more."""
        import pyarrow as pa

        columns: dict[str, Any] = {"row": np.arange(len(self._scene))}
        for column, known in self._texts.items():
            columns[column] = text_columns.as_column(self._numbers[column], pa.array(known, pa.string()))
        missing = self._place < 0
        columns["place"] = pa.array(self._place, mask=missing) if missing.any() else self._place
        columns["scene"] = pa.array(self._scene)
        columns["fingerprint"] = self._fingerprints()
        found = pa.table(columns)
        reported = self._numbers["file"] >= 0
        return found if reported.all() else found.filter(pa.array(reported))

    def _fingerprints(self) -> pa.Array:
        import pyarrow as pa

        kind = pa.binary(BYTES)
        if self._fingerprint is None:
            return pa.nulls(len(self._scene), kind)
        has = None if self._has_fingerprint.all() else pa.array(self._has_fingerprint).buffers()[1]
        return pa.Array.from_buffers(kind, len(self._scene), [has, pa.py_buffer(self._fingerprint)])
