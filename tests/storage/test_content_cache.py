"""Computed rows are found again by what they depend on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.storage import content_cache
from p2i_ray.storage.content_cache import KeyIndex

keys = st.binary(min_size=16, max_size=16)


def test_the_same_settings_share_a_folder_and_others_do_not(tmp_path: Path) -> None:
    first = content_cache.open_folder(str(tmp_path), {"model": "a", "prompt": "grün"})
    assert content_cache.open_folder(str(tmp_path), {"prompt": "grün", "model": "a"}) == first
    assert content_cache.open_folder(str(tmp_path), {"prompt": "grün", "model": "b"}) != first
    assert json.loads(Path(first, "about.json").read_text("utf-8")) == {"model": "a", "prompt": "grün"}


def test_a_known_fingerprint_so_that_old_caches_are_found(tmp_path: Path) -> None:
    folder = content_cache.open_folder(str(tmp_path), {"a": 1})
    assert Path(folder).name == "4c7b92d70b8f46817ada0eac124a2164"


def test_files_are_added_beside_each_other(tmp_path: Path) -> None:
    folder = content_cache.open_folder(str(tmp_path), {})
    names = {content_cache.add(folder, pa.table({"n": [number]})) for number in range(3)}
    assert set(content_cache.parts(folder)) == names and len(names) == 3


def test_where_a_sample_ends_and_the_next_begins_counts() -> None:
    pairs = ((b"ab", b"c"), (b"a", b"bc"), (b"c", b"ab"), (b"abc",), (b"ab", b"c"))
    found = [content_cache.key_of(*pair) for pair in pairs]
    assert len(set(found)) == 4 and found[0] == found[4]
    assert {len(key) for key in found} == {16}


@given(st.lists(keys), st.lists(keys))
def test_keys_are_found_where_they_first_are(known: list[bytes], others: list[bytes]) -> None:
    wanted = [*others, *known]
    found = KeyIndex(known).find(wanted)
    assert found.shape == (len(wanted),)
    assert found.tolist() == [known.index(key) if key in known else -1 for key in wanted]


def test_keys_that_end_in_zeros_are_told_apart() -> None:
    zeros, one = bytes(16), b"\1" + bytes(15)
    assert KeyIndex([one, zeros]).find([zeros, one, b"\1\1" + bytes(14)]).tolist() == [1, 0, -1]
    assert np.array_equal(KeyIndex([]).find([zeros]), [-1])


def test_keys_of_a_column_are_those_of_a_list() -> None:
    known = [bytes([number]) * 16 for number in range(7)] + [bytes(16), bytes(15) + b"\1"]
    column = pa.chunked_array([pa.array(part, content_cache.KEY) for part in (known[:4], known[4:])])
    for some, listed in ((column, known), (column.slice(2, 4), known[2:6]), (column.slice(5, 2), known[5:7])):
        found = KeyIndex(content_cache.keys_of(some)).find(known)
        assert np.array_equal(found, KeyIndex(listed).find(known))
    assert len(content_cache.keys_of(pa.chunked_array([], content_cache.KEY))) == 0
