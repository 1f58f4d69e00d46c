"""Selection: which rows the next round trains on (Eq. 6, and Eq. 8 once there is feedback)."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from p2i_ray import sink, storage
from p2i_ray.config import LoopConfig
from p2i_ray.errors import UserError

COLUMNS = ["id", "score", "expected_score"]


def keep(scores: pa.Table, settings: LoopConfig) -> pa.Table:
    """S = {x in D : R(x) >= gamma}; rows without a score are not in it.

    Args:
        scores: columns id, score, expected_score; a null score was set aside by the judge.
        settings: gamma and the score that it is compared with.

    Returns:
        The kept rows, sorted by id.

    Raises:
        UserError: nothing is kept; the line says how far off the best row is.
    """
    column = scores[settings.threshold_on]
    kept = scores.filter(pc.fill_null(pc.greater_equal(column, settings.gamma), False))
    if kept.num_rows == 0:
        best = pc.max(column).as_py()
        found = f"the highest {settings.threshold_on} is {best:g}" if best is not None else "no row has a score"
        raise UserError(
            f"the selection keeps none of {scores.num_rows} rows: {found}, idr.gamma is {settings.gamma:g}; "
            "lower idr.gamma, or look at the scores and their reasons, and start in another run_dir"
        )
    return kept.sort_by("id")


def select(scores_folder: str, files: list[str], settings: LoopConfig, out: str) -> int:
    """Apply `keep` to the score files that count and write one Parquet file; returns the number of kept rows."""
    kept = keep(sink.read_parquet(scores_folder, files, COLUMNS), settings)
    buffer = pa.BufferOutputStream()
    pq.write_table(kept, buffer)
    storage.write_bytes(out, buffer.getvalue().to_pybytes())
    return kept.num_rows
