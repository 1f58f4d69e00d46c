"""The judge's cache: every later job finds the answers that were added, and no others."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2i_ray.judge.batch.cache import AnswerCache, AnswerIndex, open_cache
from p2i_ray.judge.requests.tasks import CRITIQUES, SCORES
from p2i_ray.storage import folders

ANSWER = {"score": 4, "expected_score": 3.75, "entropy": 0.25, "reason": None}
SAMPLES = st.tuples(st.text(max_size=8), st.binary(max_size=8))


def index(cache: AnswerCache) -> AnswerIndex:
    return AnswerIndex(cache.folder, [name.rsplit("/", 1)[-1] for name in folders.files(cache.folder, ".parquet")])


@settings(max_examples=25, deadline=None)
@given(known=st.lists(SAMPLES, min_size=1, unique=True), others=st.lists(SAMPLES))
def test_what_was_added_is_found_and_nothing_else(known: list[tuple[str, bytes]], others: list[tuple]) -> None:
    cache = AnswerCache(f"memory://{uuid.uuid4()}", SCORES)
    answers = [{**ANSWER, "expected_score": float(i)} for i in range(len(known))]
    half = len(known) // 2
    for part in (slice(0, half), slice(half, None), slice(0, 1)):  # the first is added twice
        cache.add([cache.key(*sample) for sample in known[part]], answers[part])
    asked = [*others, *known]
    found = index(cache).find([cache.key(*sample) for sample in asked])
    expected = [answers[known.index(sample)] if sample in known else None for sample in asked]
    assert found == expected


def test_name_and_picture_are_kept_apart() -> None:
    cache = AnswerCache("memory://nowhere", SCORES)
    assert cache.key("mug", b"1") != cache.key("mug1", b"") != cache.key("", b"mug1")


def test_rows_that_were_set_aside_are_asked_again(tmp_path: Path) -> None:
    cache = open_cache(str(tmp_path), {"model": "a"}, CRITIQUES)
    critique = {"flaws": ["blur"], "comment": "soft"}
    cache.add([b"0" * 16, b"1" * 16], [{**critique, "error": None}, {"error": "the engine refused the row"}])
    assert index(cache).find([b"0" * 16, b"1" * 16]) == [critique, None]


def test_caches_differ_by_everything_that_an_answer_depends_on(tmp_path: Path) -> None:
    folders = {
        open_cache(str(tmp_path), about, SCORES).folder
        for about in ({"model": "a"}, {"model": "b"}, {"model": "a", "feedback": "clutter"}, {"model": "a"})
    }
    assert len(folders) == 3
    assert sorted(json.loads(Path(folder, "about.json").read_text())["model"] for folder in folders) == ["a", "a", "b"]


def test_an_unfinished_file_is_never_read(tmp_path: Path) -> None:
    """Storage writes a temporary file and renames it: only complete files end in .parquet."""
    cache = open_cache(str(tmp_path), {}, SCORES)
    cache.add([b"k" * 16], [ANSWER])
    assert [path.suffix for path in Path(cache.folder).iterdir() if path.name.startswith("part-")] == [".parquet"]
    with pytest.raises(pa.ArrowInvalid):
        cache.add([b"too short"], [ANSWER])
