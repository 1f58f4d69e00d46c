"""Lines of a file by their numbers, as a search for their ends finds them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.data.sources.text_lines import TextLines

MARK = "\ufeff"


@given(st.text(st.sampled_from("ab\n\r\u0085\u2028\xe4\U0001f600"), max_size=30), st.booleans())
def test_lines_with_their_ends(text: str, has_mark: bool) -> None:
    expected = re.findall(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+", text)
    lines = TextLines((MARK * has_mark + text).encode(), "utf-8", has_mark)
    assert list(lines) == expected and len(lines) == len(expected)
    assert lines[1:] == expected[1:]
    with pytest.raises(IndexError):
        lines[len(expected)]
