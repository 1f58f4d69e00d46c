"""Select: the rows that the next round trains on (Eq. 6, and Eq. 8 once there is feedback)."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from p2i_ray.config import LoopConfig
from p2i_ray.config.seeds import seed_for
from p2i_ray.console.progress import say
from p2i_ray.errors import UserError
from p2i_ray.run.manifests import Counts
from p2i_ray.run.step_table import SELECT
from p2i_ray.steps.round import Output, Round
from p2i_ray.storage import parquet

COLUMNS = ["id", "score", "expected_score"]


def keep(scores: pa.Table, settings: LoopConfig, number: int = 1) -> pa.Table:
    """S = {x in D : R(x) >= gamma}, or the best rows of D; rows without a score are not in it.

    Args:
        scores: columns id, score, expected_score; a null score was set aside by the judge.
        settings: gamma and the score that it is compared with, or how many rows are kept, or which share.
        number: of the round.

    Returns:
        The kept rows, sorted by id.

    Raises:
        UserError: nothing is kept; the line says how far off the best row is.
    """
    if settings.keep_rows:
        return keep_highest(scores, settings.keep_rows[number - 1])
    if settings.keep_fraction is not None:
        return keep_best(scores, settings.keep_fraction)
    kept = at_gamma(scores, settings)
    if kept.num_rows == 0:
        best = pc.max(scores[settings.threshold_on]).as_py()
        found = f"the highest {settings.threshold_on} is {best:g}" if best is not None else "no row has a score"
        raise UserError(
            f"the selection keeps none of {scores.num_rows} rows: {found}, idr.gamma is {settings.gamma:g}; "
            "lower idr.gamma and give the command again; the scores and their reasons are there"
        )
    return kept.sort_by("id")


def at_gamma(scores: pa.Table, settings: LoopConfig) -> pa.Table:
    """The rows whose score is gamma or above; there may be none."""
    return scores.filter(pc.fill_null(pc.greater_equal(scores[settings.threshold_on], settings.gamma), False))


def keep_best(scores: pa.Table, share: float) -> pa.Table:
    """The rows with the highest expected scores: share times the number of rows that have one, at least one row.

    A half is rounded up. Raises as `keep_highest` does.
    """
    scored = scores.num_rows - scores["expected_score"].null_count
    exactly = Decimal(str(share)) * scored  # the share as it was typed: 0.15 of 10 rows is 1.5, not less
    return keep_highest(scores, max(1, int(exactly.to_integral_value(ROUND_HALF_UP))))


def keep_highest(scores: pa.Table, count: int) -> pa.Table:
    """So many rows with the highest expected scores, or all that have one.

    Of rows that are level at the cut, those whose ids have the lowest hashes are kept: the same rows every time, and
    none preferred for its place in the data.

    Raises:
        UserError: no row has an expected score.
    """
    scored = scores.filter(scores["expected_score"].is_valid())
    if scored.num_rows == 0:
        raise UserError(
            f"the selection keeps none of {scores.num_rows} rows: none has an expected score, which idr.keep_fraction "
            "and idr.keep_rows go by; look at the column error of the scores, or select by idr.gamma with both null"
        )
    count = min(count, scored.num_rows)
    expected = scored["expected_score"].to_numpy()
    cut = np.partition(expected, -count)[-count]
    level = scored.filter(pa.array(expected == cut))
    hashes = [seed_for(0, "keep", id_) for id_ in level["id"].to_pylist()]
    above = scored.filter(pa.array(expected > cut))
    lowest = np.argsort(hashes)[: count - above.num_rows]
    return pa.concat_tables([above, level.take(lowest)]).sort_by("id")


def write_selection(scores: Output, settings: LoopConfig, out: str, number: int = 1) -> int:
    """Apply `keep` to a round's scores and write one Parquet file; returns the number of kept rows."""
    kept = keep(parquet.read_parquet(scores.location, scores.files, COLUMNS), settings, number)
    parquet.write_table(kept, out)
    return int(kept.num_rows)


def select(this: Round, scores: Output) -> Output:
    """Select S_i, which is D_i: the ids of the kept rows."""

    def work(out: str) -> Counts:
        kept = write_selection(scores, this.run.config.idr, out, this.number)
        return Counts(rows_in=scores.rows, rows_out=kept)

    kept = this.once(SELECT, work)
    say(f"{this.title(SELECT)} keeps {kept.rows} of {kept.manifest.rows_in} rows")
    return kept
