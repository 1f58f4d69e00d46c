"""Names of a result's files: portable, bounded, never twice."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.serve.images.schema import EditRequest
from p2i_ray.serve.jobs.file_names import picture_name, slug
from p2i_ray.serve.jobs.schema import JobItem


def item(index: int, name: str, style: str | None = None) -> JobItem:
    return JobItem(index=index, ask=EditRequest(prompt=name), image=0, style=style)


def test_names_say_product_style_and_size() -> None:
    assert picture_name(item(3, "Steel cup, 0.5 l", "Été 2026"), 1, size="1024x1536", form="webp") == (
        "00003-steel-cup-0-5-l_ete-2026_1024x1536-1.webp"
    )
    assert picture_name(item(3, "鉄のコップ"), 0, size="64x64", form="webp") == "00003-64x64-0.webp"
    assert slug("a" * 39 + "-b", 40) == "a" * 39 and slug("../../etc/passwd", 40) == "etc-passwd"


@given(st.lists(st.tuples(st.text(max_size=80), st.none() | st.text(max_size=80)), min_size=1, max_size=5))
def test_no_name_is_unsafe_or_there_twice(products: list[tuple[str, str | None]]) -> None:
    names = [
        picture_name(item(index, name, style), number, size="64x64", form="webp")
        for index, (name, style) in enumerate(products)
        for number in range(2)
    ]
    assert len({name.lower() for name in names}) == len(names)
    assert all(re.fullmatch(r"\d{5}-[a-z0-9_-]+\.webp", name) and len(name) <= 100 for name in names)
