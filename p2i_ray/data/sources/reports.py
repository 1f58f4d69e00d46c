"""Tasks' reports of the rows, in the order of the rows: about 80 bytes a row, mapped from temporary files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p2i_ray.data import mapped_rows, numbers, text_columns
from p2i_ray.data.near_duplicates import BYTES, of_column
from p2i_ray.storage import spilled

if TYPE_CHECKING:
    import pyarrow as pa


class Reports:
    """Takes the tasks' lines as they come, in any order.

    Args:
        rows: number of rows of which there will be a line, which are numbered from 0.
    """

    def __init__(self, rows: int) -> None:
        self._texts: dict[str, dict[str, int]] = {"file": {}, "reason": {}}
        self._numbers = {column: numbers.filled(rows, -1) for column in self._texts}
        self._place = numbers.filled(rows, -1)
        self._scene, self._has_fingerprint = (spilled.array(rows, np.bool_) for _ in range(2))
        self._fingerprint: NDArray[np.uint8] | None = None  # until there is one

    def add(self, lines: pa.Table) -> None:
        """Take lines of rows, see tasks.report_schema."""
        rows = lines["row"].to_numpy()
        for column, known in self._texts.items():
            places, texts = text_columns.encode(lines[column])
            own = np.array([known.setdefault(text, len(known)) for text in texts.to_pylist()] + [-1], np.int32)
            self._numbers[column][rows] = own[places]
        self._place[rows] = lines["place"].fill_null(-1).to_numpy()
        self._scene[rows] = lines["scene"].fill_null(False).to_numpy()
        has = lines["fingerprint"].is_valid().to_numpy()
        if has.any():
            if self._fingerprint is None:
                self._fingerprint = spilled.array((len(self._scene), BYTES), np.uint8)
            self._fingerprint[rows[has]] = of_column(lines["fingerprint"].drop_null())
            self._has_fingerprint[rows[has]] = True

    def table(self) -> pa.Table:
        """The lines by their rows, without a row of which nothing was reported; this may not be used any more."""
        import pyarrow as pa

        columns: dict[str, Any] = {"row": numbers.upto(len(self._scene))}
        for column, known in self._texts.items():
            columns[column] = text_columns.as_column(self._numbers[column], pa.array(known, pa.string()))
        missing = self._place < 0
        columns["place"] = pa.array(self._place, mask=missing) if missing.any() else self._place
        columns["scene"] = pa.array(self._scene)
        columns["fingerprint"] = self._fingerprints()
        found = pa.table(columns)
        reported = self._numbers["file"] >= 0
        return mapped_rows.where(found, pa.chunked_array([reported]))

    def _fingerprints(self) -> pa.Array:
        import pyarrow as pa

        kind = pa.binary(BYTES)
        if self._fingerprint is None:
            return pa.nulls(len(self._scene), kind)
        has = None if self._has_fingerprint.all() else pa.array(self._has_fingerprint).buffers()[1]
        return pa.Array.from_buffers(kind, len(self._scene), [has, pa.py_buffer(self._fingerprint)])
