"""Fit of the cascade's head: when there is none, and why."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.judge.cascade import clip_features, learning
from p2i_ray.judge.cascade.head import NONE_CERTAIN
from p2i_ray.judge.requests.tasks import SCORES

ROWS = 120


def write(folder: Path, expected: np.ndarray) -> tuple[learning.Part, learning.Part]:
    """The features of rows, of which the first says the score, and the judge's scores of them."""
    ids = [f"row-{index:03d}" for index in range(len(expected))]
    features = [[float(value), 1.0] for value in expected]
    columns = {"id": ids, "features": features, "error": [None] * len(ids)}
    pq.write_table(pa.table(columns, schema=clip_features.FEATURES), folder / "features.parquet")
    scores = [
        {**dict.fromkeys(SCORES.names), "id": id_, "score": round(value), "expected_score": value}
        for id_, value in zip(ids, expected.tolist(), strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(scores, schema=SCORES), folder / "scores.parquet")
    return learning.Part(str(folder), ["features.parquet"]), learning.Part(str(folder), ["scores.parquet"])


@pytest.mark.parametrize(
    ("lowest", "highest", "agreement", "why"),
    [
        (1, 2.5, 0.85, r"^the LMM drops all \d+ rows that a head could learn from$"),
        (4.6, 5, 0.85, r"^the LMM keeps all \d+ rows that a head could learn from$"),
        (1, 5, 0.99, r"^\d+ rows are too few to show an agreement of 0.99$"),
    ],
)
def test_no_head(*, lowest: float, highest: float, agreement: float, why: str, tmp_path: Path) -> None:
    features, scores = write(tmp_path, np.random.default_rng(0).uniform(lowest, highest, ROWS))
    rule = learning.Rule(gamma=4, column="score", agreement=agreement, seed=5)
    found = learning.learn(features, scores, rule, str(tmp_path / "head.safetensors"))
    assert (found.thresholds, found.digest) == (NONE_CERTAIN, "")
    assert re.match(why, found.facts["why"])
    assert not (tmp_path / "head.safetensors").exists()


def test_a_head(tmp_path: Path) -> None:
    features, scores = write(tmp_path, np.random.default_rng(0).uniform(1, 5, ROWS))
    rule = learning.Rule(gamma=4, column="score", agreement=0.85, seed=5)
    found = learning.learn(features, scores, rule, str(tmp_path / "head.safetensors"))
    assert found.facts["why"] is None and 1 < found.thresholds.low <= found.thresholds.high < 5
    assert found.facts["trained_rows"] + found.facts["held_out_rows"] == ROWS
    head = learning.read_head(str(tmp_path / "head.safetensors"), found.digest)
    assert head.predict(np.float32([[1.2, 1], [4.8, 1]]))[:, 0] == pytest.approx([1.2, 4.8], abs=0.5)
