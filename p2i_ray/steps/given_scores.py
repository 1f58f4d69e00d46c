"""Scores that a file gives in the judge's place: what a control selects by, such as chance, CLIP or people's gold."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from p2i_ray.judge.calibration import gold
from p2i_ray.storage import locations, parquet

if TYPE_CHECKING:
    import pyarrow as pa
    import ray.data

MISSING = "idr.given_scores has no score for it"


def write(rows: ray.data.Dataset, given: str, out: str, *, progress: parquet.Progress | None = None) -> parquet.Written:
    """Write the file's scores of the rows, with the columns of judge.requests.tasks.SCORES.

    Args:
        rows: column id.
        given: location of a Parquet or CSV file with id and score, 1..5. `score` is the nearer whole one, a half up.
        out: folder, a path or URI; rows that the file lacks are set aside there.
        progress: called with the number of rows just written.

    Raises:
        UserError: the file can't be used.
    """
    scores = gold.read(locations.absolute(given))
    scored = rows.map_batches(functools.partial(given_to, scores=scores), batch_format="pyarrow")
    return parquet.write_parquet(scored, out, progress=progress)


def given_to(batch: pa.Table, scores: Mapping[str, float]) -> pa.Table:
    """The scores of a batch of ids."""
    import pyarrow as pa

    from p2i_ray.judge.requests.tasks import SCORES

    return pa.Table.from_pylist([_row(id_, scores.get(id_)) for id_ in batch["id"].to_pylist()], schema=SCORES)


def _row(id_: str, score: float | None) -> dict[str, Any]:
    whole = None if score is None else int(score + 0.5)
    return {"id": id_, "score": whole, "expected_score": score, "error": MISSING if score is None else None}
