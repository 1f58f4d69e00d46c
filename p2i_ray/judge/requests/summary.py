"""Input of SUM (Eq. 7): the tally of flaws and the example comments that the summary prompt shows."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from p2i_ray.errors import UserError


def tally(critiques: pa.Table, known: Sequence[str]) -> str:
    """The fraction of criticised pictures with each flaw, most frequent first: one line per flaw, "wrong scene: 64 %".

    Args:
        critiques: columns flaws (null: set aside) and error.
        known: the flaws on the list.

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
    order = sorted(known, key=lambda flaw: (-counts[flaw], known.index(flaw)))
    return "\n".join(f"{flaw}: {round(100 * counts[flaw] / len(named))} %" for flaw in order)


def examples(critiques: pa.Table, known: Sequence[str], number: int) -> str:
    """Some of the comments, one per line: of each flaw's pictures in turn, and then of those without a flaw.

    So rare flaws have comments, too; how frequent each is, the tally says. Ties go by the ids' hashes.

    Args:
        critiques: columns id, flaws, comment.
        known: the flaws on the list.
        number: largest number of comments.
    """
    rows = [row for row in critiques.select(["id", "flaws", "comment"]).to_pylist() if row["comment"]]
    rows.sort(key=lambda row: hashlib.sha256(row["id"].encode()).digest())
    columns = [[row for row in rows if flaw in row["flaws"]] for flaw in known]
    in_turn = [row for turn in itertools.zip_longest(*columns) for row in turn if row is not None]
    chosen = {row["id"]: row["comment"] for row in [*in_turn, *(row for row in rows if not row["flaws"])]}
    return "\n".join(f"- {' '.join(comment.split())}" for comment in itertools.islice(chosen.values(), number))
