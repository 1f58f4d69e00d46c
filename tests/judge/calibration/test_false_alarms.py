"""False alarms by hand; intervals are Clopper and Pearson's."""

from __future__ import annotations

import pyarrow as pa
import pytest

from p2i_ray.judge.calibration.false_alarms import false_alarms
from p2i_ray.judge.calibration.proportions import proportion


def test_what_is_named_in_clean_pictures() -> None:
    named: list[list[str] | None] = [[], ["blur"], [], ["blur", "clutter"], [], None]
    errors = [None] * 5 + ["no picture"]
    found = false_alarms(pa.table({"flaws": pa.array(named), "error": pa.array(errors)}), ["blur", "clutter", "text"])
    assert found.set_aside == 1 and found.flagged is not None
    assert (found.flagged.count, found.flagged.rows, found.flagged.share) == (2, 5, 0.4)
    assert {name: one.share for name, one in found.by_flaw.items()} == {"blur": 0.4, "clutter": 0.2, "text": 0}
    # None of five: the upper end is where (1 - p)^5 = 0.025.
    assert (found.by_flaw["text"].low, found.by_flaw["text"].high) == (0, pytest.approx(1 - 0.025**0.2))


def test_no_picture_could_be_criticised() -> None:
    found = false_alarms(pa.table({"flaws": pa.array([None], pa.list_(pa.string())), "error": ["broken"]}), ["blur"])
    assert (found.set_aside, found.flagged, found.by_flaw) == (1, None, {})


def test_an_interval_holds_at_the_ends() -> None:
    assert proportion(0, 0) is None
    every = proportion(10, 10)
    assert every is not None and (every.low, every.high) == (pytest.approx(0.025**0.1), 1)
    half = proportion(5, 10)  # Clopper and Pearson, 1934
    assert half is not None and [half.low, half.high] == pytest.approx([0.187, 0.813], abs=5e-4)
