"""Which files of a data set are scored whole."""

from __future__ import annotations

from p2i_ray.steps.overlap.early_work import ScoredFiles


def test_a_file_is_handed_on_once_all_of_its_rows_are_scored() -> None:
    scored = ScoredFiles({"one": ["a", "b", "c"], "two": ["d"], "three": ["e"]})
    assert scored.add(["a", "c"], ["c"]) == []
    assert scored.add(["d"], []) == [("two", [])]
    assert scored.add(["e", "b"], ["e", "b"]) == [("three", ["e"]), ("one", ["c", "b"])]
