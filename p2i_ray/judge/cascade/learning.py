"""Fit of the cascade's head on the sample: the head, its thresholds, and their evaluation on held-out rows."""

from __future__ import annotations

import functools
import hashlib
import math
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from p2i_ray.config.seeds import seed_for
from p2i_ray.judge.cascade import clip_features
from p2i_ray.judge.cascade import head as heads
from p2i_ray.storage import locations, parquet

HELD_OUT = 0.15  # fraction of the sample that the head is not fitted on


class Rule(NamedTuple):
    """The rule by which rows are kept, and the agreement that the head must show."""

    gamma: float
    column: str  # the LMM's score that gamma is compared with
    agreement: float
    seed: int


class Part(NamedTuple):
    """Some Parquet files of a folder."""

    folder: str
    files: list[str]


class Learned(NamedTuple):
    """A fitted head, which is stored in a file, and facts about it."""

    thresholds: heads.Thresholds
    digest: str  # SHA-256 of the head's file; empty: there is no head
    facts: dict[str, Any]


def learn(features_in: Part, scores_in: Part, rule: Rule, target: str) -> Learned:
    """Fit the head to the sample's features and scores, and write it to `target`.

    There is no head if the LMM keeps all rows or drops all, or if there are too few of them to show the agreement. Rows
    without features or without a score are ignored.

    Args:
        features_in: files with the columns of clip_features.FEATURES.
        scores_in: files of the LMM's scores with the columns of tasks.SCORES.
        rule: the decision to learn and the agreement to show.
        target: location of the head's file.
    """
    features = parquet.read_parquet(*features_in, ["id", "features"])
    scores = parquet.read_parquet(*scores_in, ["id", "score", "expected_score"])
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
    certain = (predicted <= thresholds.low) | (predicted >= thresholds.high)
    wrong = heads.wrong_decisions(predicted, keep[held_out], thresholds)
    facts = {
        "why": "the head is certain of no row" if thresholds == heads.NONE_CERTAIN else None,
        "trained_rows": int(trained.sum()),
        "held_out_rows": int(held_out.sum()),
        "agreement_held_out": _number(1 - wrong.mean()) if len(wrong) else None,
        "saved_share_held_out": _number(certain.mean()) if len(certain) else None,
        "auc_held_out": heads.area_under_curve(predicted, keep[held_out]),
        "low": _number(thresholds.low),
        "high": _number(thresholds.high),
    }
    return Learned(thresholds, hashlib.sha256(content).hexdigest(), facts)


def _no_head(reason: str) -> Learned:
    return Learned(heads.NONE_CERTAIN, "", {"why": reason})


def _number(value: float) -> float | None:
    """A number as JSON can hold it: None for an infinite one."""
    return float(value) if math.isfinite(value) else None


@functools.lru_cache(maxsize=1)
def read_head(head_file: str, digest: str) -> heads.Head:
    """Read a head, once per process; the digest tells it from the head of another step at the same location."""
    return heads.Head.from_bytes(locations.read_bytes(head_file))


def hashed_below(ids: pa.ChunkedArray, fraction: float, seed: int, purpose: str) -> NDArray[np.bool_]:
    """Whether each id is in a random fraction of all ids, which the seed and the purpose select."""
    return np.array([seed_for(seed, purpose, id_) < fraction * 2**63 for id_ in ids.to_pylist()], bool)
