"""SUM of Eq. 7: from many critiques to the tally and the examples that the summary prompt shows."""

from __future__ import annotations

import hashlib
from collections import Counter

import pyarrow as pa

from p2i_ray.errors import UserError
from p2i_ray.judge.requests.flaws import FLAWS


def tally(critiques: pa.Table) -> str:
    """How many of the criticised pictures show each flaw, most frequent first: "wrong scene: 64 %", a line a flaw.

    Args:
        critiques: columns flaws (null: set aside) and error.

    Raises:
        UserError: no picture could be criticised; the line has the most frequent reason.
    """
    named = [flaws for flaws in critiques["flaws"].to_pylist() if flaws is not None]
    if not named:
        reasons = Counter(reason for reason in critiques["error"].to_pylist() if reason).most_common(1)
        why = f"; the most frequent reason: {reasons[0][0]}" if reasons else ""
        raise UserError(
            f"none of {critiques.num_rows} painted pictures could be criticised, so there is no feedback{why}"
        )
    counts = Counter(flaw for flaws in named for flaw in set(flaws))
    order = sorted(FLAWS, key=lambda flaw: (-counts[flaw], FLAWS.index(flaw)))
    return "\n".join(f"{flaw}: {round(100 * counts[flaw] / len(named))} %" for flaw in order)


def examples(critiques: pa.Table, number: int) -> str:
    """Some of the comments, a line each; those of flawed pictures first, else in an order that only the ids decide.

    Args:
        critiques: columns id, flaws, comment.
        number: how many at most.
    """
    rows = [row for row in critiques.select(["id", "flaws", "comment"]).to_pylist() if row["comment"]]
    rows.sort(key=lambda row: (not row["flaws"], hashlib.sha256(row["id"].encode()).digest()))
    return "\n".join(f"- {' '.join(row['comment'].split())}" for row in rows[:number])
