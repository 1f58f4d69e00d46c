"""Names of files are found as a dict finds them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.data.sources import file_names
from p2i_ray.storage import spilled

NAMES = st.text(st.sampled_from("ab/ü\uffee\U0001f600\udc80"), max_size=3)  # also one of a disk that isn't UTF-8


@given(st.dictionaries(NAMES, NAMES, max_size=20), NAMES)
def test_names_are_found_in_their_order(files: dict[str, str], other: str) -> None:
    found = file_names.listed(files.items())
    assert len(found) == len(files) and [*found] == [*files] and dict(found) == files
    assert [found.place(name) for name in files] == [*range(len(files))]
    assert (other in found) == (other in files) and found.get(other) == files.get(other)
    assert 3 not in found


@given(st.lists(NAMES, unique=True, max_size=20))
def test_they_are_put_in_the_order_of_pythons_strings(names: list[str]) -> None:
    found = file_names.ordered(iter(names))
    assert [*found.items()] == [(name, name) for name in sorted(names)]


def test_many_and_none() -> None:
    names = [f"{number}.jpg" for number in range(spilled.ROWS + 3)]
    found = file_names.listed((name, f"a.zip::{name}") for name in names)
    assert [*found.values()] == [f"a.zip::{name}" for name in names] and found.place("32769.jpg") == 32769
    with pytest.raises(KeyError):
        file_names.listed([])["a"]
