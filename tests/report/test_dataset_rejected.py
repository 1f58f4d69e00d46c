"""What ingest set aside: rows, shares of the source's rows, the rule, and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from p2i_ray.data import writing
from p2i_ray.data.schema import EXAMPLES, EXAMPLES_SCHEMA, RECORD, REJECTED, REJECTED_SCHEMA
from p2i_ray.report.dataset_rejected import removed


def test_each_kind_of_reason_with_its_rule_and_pictures(tmp_path: Path) -> None:
    reasons = ["too small: 9x9 pixels; ingest.cleaning.min_side=10", "too small: 8x8 pixels", "file missing: a.png"]
    rows = [{"id": f"{n}", "source": "a.png", "reason": reason} for n, reason in enumerate(reasons)]
    writing.write_shard(rows, str(tmp_path / REJECTED), REJECTED_SCHEMA)
    shown = {"id": "0", "name": "Mug", "reason": reasons[0], "image": {"bytes": b"abc", "path": None}}
    writing.write_shard([shown], str(tmp_path / EXAMPLES), EXAMPLES_SCHEMA)
    rules = {"min_side": 10, "min_variation": 0, "max_text": 0.0, "max_people": None, "near_duplicates": True}
    (tmp_path / RECORD).write_text(json.dumps({"ingest": {"cleaning": rules}}))
    small, missing, text, alike = removed(str(tmp_path), 5)
    assert (small.kind, small.rule, small.rows, small.share) == ("too small", "min_side=10", 2, 0.25)
    (picture,) = small.pictures
    assert picture == ("data:image/webp;base64,YWJj", "the photo of Mug", "Mug", "9x9 pixels")
    assert (missing.kind, missing.rule, missing.rows, missing.pictures) == ("file missing", "", 1, [])
    assert missing.share == pytest.approx(1 / 8)
    assert (text.kind, text.rule, text.rows) == ("text in the background", "max_text=0", 0)
    assert (alike.kind, alike.rule, alike.rows, alike.share) == ("near-duplicate", "near_duplicates=true", 0, 0)


def test_data_of_other_writers_has_none(tmp_path: Path) -> None:
    assert list(removed(str(tmp_path), 5)) == []
