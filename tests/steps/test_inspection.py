"""What the report says about a selection, by hand-worked tables."""

from __future__ import annotations

import pyarrow as pa

from p2i_ray.config import LoopConfig
from p2i_ray.judge.requests.tasks import CRITIQUES, SCORES
from p2i_ray.steps.inspection import effect, flaw_shares, sample


def scores(**expected: float | None) -> pa.Table:
    rows = [
        {"id": id_, "score": None if value is None else round(value), "expected_score": value}
        for id_, value in expected.items()
    ]
    return pa.Table.from_pylist(rows, schema=SCORES)


def test_the_sample_depends_on_the_seed_and_the_ids_alone() -> None:
    ids = [f"row-{i}" for i in range(50)]
    assert sample(ids, 7, 1) == sample(ids[::-1], 7, 1) != sample(ids, 7, 2)
    assert len(set(sample(ids, 7, 1))) == 7
    assert sample(ids, 500, 1) == sorted(ids)


def test_what_the_feedback_did_at_the_same_gamma() -> None:
    without = scores(a=4.6, b=4.2, c=3.1, d=1.0, e=None)
    found = effect(set("abcde"), {"a", "c", "elsewhere"}, without, LoopConfig(gamma=4))
    assert found == {"both_keep": 1, "both_drop": 2, "only_feedback_drops": 1, "only_feedback_keeps": 1}


def test_what_the_feedback_did_with_as_many_kept() -> None:
    without = scores(a=4.6, b=4.2, c=3.1, d=1.0)  # two are kept with feedback: without it they would be a and b
    found = effect(set("abcd"), {"a", "c"}, without, LoopConfig(keep_fraction=0.5))
    assert found == {"both_keep": 1, "both_drop": 1, "only_feedback_drops": 1, "only_feedback_keeps": 1}


def test_flaws_of_the_kept_and_the_dropped() -> None:
    rows = [("a", ["blur"]), ("b", []), ("c", ["blur", "clutter"]), ("d", None)]
    critiques = pa.Table.from_pylist([{"id": id_, "flaws": flaws} for id_, flaws in rows], schema=CRITIQUES)
    found = flaw_shares(critiques, {"a", "b"}, ["blur", "clutter"])
    assert found["blur"] == {"kept": 0.5, "dropped": 1.0}
    assert found["clutter"] == {"kept": 0.0, "dropped": 1.0}
    assert flaw_shares(critiques, {"a", "b", "c"}, ["blur"])["blur"]["dropped"] is None
