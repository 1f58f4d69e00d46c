"""The gap between two judges of the same pictures: the one that selects, and one that never does.

A gap says how much kinder the selecting judge is, which may be its nature. A gap that grows from round to round says
that the pictures improve in the eyes of the selecting judge more than in others' eyes. Intervals are those of
bootstrap.py, by picture: both judges' answers, and both rounds' of a growth, are drawn together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from p2i_ray.evaluate.metrics import bootstrap
from p2i_ray.evaluate.metrics.judged import available

SHARE = "available_rate"  # of pictures without a flaw, 0..1
KINDS = (SHARE, "judge_score")  # the other one is a mean score, 1..5
SELECTING, HELD_OUT, GAP = "selecting", "held_out", "gap"
FEWEST = 2  # pictures that both judges answered about
CLEAR = 10  # pictures from which a growth is spoken of: the bootstrap's intervals of fewer are too narrow


class Growth(NamedTuple):
    """The growth of a gap between two rounds."""

    value: float
    low: float
    high: float
    pictures: int  # that both judges answered about in both rounds

    @property
    def is_clear(self) -> bool:
        """Whether it has grown by more than its interval leaves open."""
        return self.low > 0 and self.pictures >= CLEAR


def values(critiques: Sequence[pa.Table], scores: Sequence[pa.Table]) -> pa.Table:
    """Both judges' answers by picture: `id`, and KIND_selecting and KIND_held_out for each of KINDS; null: no answer.

    Args:
        critiques: of the selecting and of the held-out judge: `id`, `flaws`, `error`.
        scores: the same: `id`, `score`, `expected_score`. Without an expected score the whole one counts.
    """
    found: dict[str, dict[str, float]] = {}
    for judge, given, scored in zip((SELECTING, HELD_OUT), critiques, scores, strict=True):
        pairs = zip(given["id"].to_pylist(), available(given), strict=True)
        found[f"{KINDS[0]}_{judge}"] = {id_: value for id_, value in pairs if value is not None}
        found[f"{KINDS[1]}_{judge}"] = dict(_scores(scored))
    ids = sorted({id_ for table in (*critiques, *scores) for id_ in table["id"].to_pylist()})
    columns = {name: pa.array([own.get(id_) for id_ in ids], pa.float64()) for name, own in found.items()}
    return pa.table({"id": pa.array(ids, pa.string()), **columns})


def figures(table: pa.Table) -> dict[str, float]:
    """Both judges' means and their gap (selecting - held out) with intervals, of the pictures that both answered about.

    For each of KINDS: KIND_selecting, KIND_held_out and KIND_gap, each with _low and _high, and KIND_images; where
    pictures lack an answer also KIND_left_out. Of fewer than FEWEST pictures there are only the last two.

    Args:
        table: of `values`.
    """
    found: dict[str, float] = {}
    for kind in KINDS:
        both = _answers(table, kind)
        if len(both) < table.num_rows:
            found[f"{kind}_left_out"] = float(table.num_rows - len(both))
        found[f"{kind}_images"] = float(len(both))
        if len(both) < FEWEST:
            continue
        pairs = np.array([both[id_] for id_ in sorted(both)])  # (N, 2)
        interval = bootstrap.of_share if kind == SHARE else bootstrap.of_mean
        for name, one in ((SELECTING, pairs[:, 0]), (HELD_OUT, pairs[:, 1])):
            found |= interval(f"{kind}_{name}", one)
        found |= bootstrap.of_mean(f"{kind}_{GAP}", pairs[:, 0] - pairs[:, 1])
    return found


def growth(before: pa.Table, after: pa.Table, kind: str) -> Growth | None:
    """The growth of a gap on the pictures of the same products; none: there are fewer than FEWEST.

    Args:
        before: of `values`, of the earlier round.
        after: of the later one.
        kind: of KINDS.
    """
    earlier, later = _answers(before, kind), _answers(after, kind)
    shared = sorted(earlier.keys() & later.keys())
    if len(shared) < FEWEST:
        return None
    grown: NDArray[np.float64] = np.array([_gap(later[id_]) - _gap(earlier[id_]) for id_ in shared])
    found = bootstrap.of_mean(GAP, grown)
    return Growth(found[GAP], found[f"{GAP}_low"], found[f"{GAP}_high"], len(shared))


def _answers(table: pa.Table, kind: str) -> dict[str, tuple[float, float]]:
    """Both judges' answers about the pictures that both answered about, by id."""
    rows = zip(*(table[name].to_pylist() for name in ("id", f"{kind}_{SELECTING}", f"{kind}_{HELD_OUT}")), strict=True)
    return {id_: (one, other) for id_, one, other in rows if one is not None and other is not None}


def _gap(pair: tuple[float, float]) -> float:
    return pair[0] - pair[1]


def _scores(scored: pa.Table) -> Iterator[tuple[str, float]]:
    for row in scored.select(["id", "score", "expected_score"]).to_pylist():
        if row["score"] is not None:
            yield row["id"], float(row["score"] if row["expected_score"] is None else row["expected_score"])
