"""What the cascade learns from its sample: the head, where it is sure, and what that is worth on held-out rows."""

from __future__ import annotations

import functools
import hashlib
import math
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from p2i_ray.judge.cascade import clip_features
from p2i_ray.judge.cascade import head as heads
from p2i_ray.storage import locations, parquet

HELD_OUT = 0.15  # share of the sample that the head never sees


class Rule(NamedTuple):
    """What is kept, and how surely the head must know it."""

    gamma: float
    column: str  # of the LMM's scores that gamma is compared with
    agreement: float
    seed: int


class Learned(NamedTuple):
    """The head, on storage, and what is known of it."""

    thresholds: heads.Thresholds
    digest: str  # of the head's file; empty: there is none
    facts: dict[str, Any]


def learn(folder: str, encoded: list[str], out: str, scored: list[str], rule: Rule, target: str) -> Learned:
    """The head from the files of the sample's features and scores, written to `target`.

    There is none if the LMM keeps all rows or drops all, or if they are too few to show the agreement. Rows without
    features or without a score teach nothing.

    Args:
        folder, encoded: where the features are, with the columns of clip_features.FEATURES.
        out, scored: where the LMM's scores are, with the columns of questions.SCORES.
        rule: what is to be known, and how surely.
        target: location of the head's file.
    """
    features = parquet.read_parquet(folder, encoded, ["id", "features"])
    scores = parquet.read_parquet(out, scored, ["id", "score", "expected_score"])
    features = features.filter(pc.is_valid(features["features"]))
    scores = scores.filter(pc.is_valid(scores["score"]))
    features = features.filter(pc.is_in(features["id"], scores["id"].combine_chunks()))
    scores = scores.filter(pc.is_in(scores["id"], features["id"].combine_chunks()))  # both are sorted by id
    held_out = hashed_below(scores["id"], HELD_OUT, rule.seed, "held out")  # (N,)
    expected = pc.coalesce(scores["expected_score"], scores["score"].cast(pa.float64())).to_numpy()
    score = scores["score"].to_numpy()
    keep = (score if rule.column == "score" else expected) >= rule.gamma
    trained = ~held_out
    if len(set(keep[trained].tolist())) < 2:
        side = "keeps" if keep[trained].any() else "drops"
        return _no_head(f"the LMM {side} all {trained.sum()} rows that a head could learn from")
    if heads.allowed(int(trained.sum()), rule.agreement) < 0:
        return _no_head(f"{trained.sum()} rows are too few to show an agreement of {rule.agreement:g}")

    x = clip_features.as_array(features["features"])  # (N, D)
    head, left_out = heads.fit(x[trained], score[trained], expected[trained])
    thresholds = heads.choose(left_out, keep[trained], rule.agreement)
    content = head.to_bytes()
    locations.write_bytes(target, content)
    predicted = head.predict(x[held_out])[:, 0]
    sure = (predicted <= thresholds.low) | (predicted >= thresholds.high)
    wrong = heads.wrong_decisions(predicted, keep[held_out], thresholds)
    facts = {
        "why": "the head is sure of no row" if thresholds == heads.NOTHING else None,
        "trained_rows": int(trained.sum()),
        "held_out_rows": int(held_out.sum()),
        "agreement_held_out": _number(1 - wrong.mean()) if len(wrong) else None,
        "saved_share_held_out": _number(sure.mean()) if len(sure) else None,
        "auc_held_out": heads.area_under_curve(predicted, keep[held_out]),
        "low": _number(thresholds.low),
        "high": _number(thresholds.high),
    }
    return Learned(thresholds, hashlib.sha256(content).hexdigest(), facts)


def _no_head(why: str) -> Learned:
    return Learned(heads.NOTHING, "", {"why": why})


def _number(value: float) -> float | None:
    """For JSON, which has no infinity."""
    return float(value) if math.isfinite(value) else None


@functools.lru_cache(maxsize=1)
def read_head(head_file: str, digest: str) -> heads.Head:
    """Read once a process; the digest tells it from the head of another step in the same place."""
    return heads.Head.from_bytes(locations.read_bytes(head_file))


def hashed_below(ids: pa.ChunkedArray, share: float, seed: int, purpose: str) -> NDArray[np.bool_]:
    """Whether each id is among that share of all, for a purpose of its own."""
    return np.array([locations.seed_for(seed, purpose, one) < share * 2**63 for one in ids.to_pylist()], bool)
