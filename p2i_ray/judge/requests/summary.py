"""Input of SUM (Eq. 7): the tally of flaws and the example comments that the summary prompt shows."""

from __future__ import annotations

import hashlib
from collections import Counter

import pyarrow as pa

from p2i_ray.errors import UserError
from p2i_ray.judge.requests.flaws import FLAWS


def tally(critiques: pa.Table) -> str:
    """The fraction of criticised pictures with each flaw, most frequent first: one line per flaw, "wrong scene: 64 %".

    Args:
        critiques: columns flaws (null: set aside) and error.

    Raises:
        UserError: no picture could be criticised; the message has the most frequent reason.
    """
    named = [flaws for flaws in critiques["flaws"].to_pylist() if flaws is not None]
    if not named:
        errors = Counter(error for error in critiques["error"].to_pylist() if error).most_common(1)
        reason = f"; the most frequent reason: {errors[0][0]}" if errors else ""
        raise UserError(
            f"none of {critiques.num_rows} generated pictures could be criticised, so there is no feedback{reason}"
        )
    counts = Counter(flaw for flaws in named for flaw in set(flaws))
    order = sorted(FLAWS, key=lambda flaw: (-counts[flaw], FLAWS.index(flaw)))
    return "\n".join(f"{flaw}: {round(100 * counts[flaw] / len(named))} %" for flaw in order)


def examples(critiques: pa.Table, number: int) -> str:
    """Some of the comments, one per line; those of pictures with flaws first, then by the ids' hashes.

    Args:
        critiques: columns id, flaws, comment.
        number: largest number of comments.
    """
    rows = [row for row in critiques.select(["id", "flaws", "comment"]).to_pylist() if row["comment"]]
    rows.sort(key=lambda row: (not row["flaws"], hashlib.sha256(row["id"].encode()).digest()))
    return "\n".join(f"- {' '.join(row['comment'].split())}" for row in rows[:number])
