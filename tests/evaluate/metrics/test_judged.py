"""The metrics by the judge's answers, by hand."""

from __future__ import annotations

import pyarrow as pa
import pytest

from p2i_ray.errors import UserError
from p2i_ray.evaluate.metrics import judged


def test_the_available_rate_is_the_share_without_a_flaw() -> None:
    flaws: list[list[str] | None] = [[], ["blur"], [], ["blur", "clutter"], None]
    table = pa.table({"flaws": pa.array(flaws), "error": [None, None, None, None, "no picture"]})
    found = judged.available_rate(table)
    assert (found["available_rate"], found["available_rate_images"], found["available_rate_left_out"]) == (0.5, 4, 1)
    assert judged.available(table) == [1, 0, 1, 0, None]
    assert 0 <= found["available_rate_low"] < 0.5 < found["available_rate_high"] <= 1


def test_vqa_score_is_the_mean_probability() -> None:
    found = judged.vqa_score(pa.table({"p_yes": [0.2, 0.9, None], "error": [None, None, "refused"]}))
    assert found["vqa_score"] == pytest.approx(0.55)
    assert found["vqa_score_left_out"] == 1
    with pytest.raises(UserError, match="vqa_score needs 2 pictures; there are 1 judged"):
        judged.vqa_score(pa.table({"p_yes": [0.2, None], "error": [None, "refused"]}))
