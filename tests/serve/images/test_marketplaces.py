"""The presets of marketplaces: the docs say the same of them, and a wrong name is one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from p2i_ray.serve.edge.errors import APIError
from p2i_ray.serve.images.marketplaces import MARKETPLACES, MB, find

DOCS = Path(__file__).parents[3] / "docs" / "serving.md"
HEAD = "| name | pixels | share | margin | formats | at most |"
ROW = r"^\| `(\w+)` \| (\d+) x (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\w, ]+) \| (\d+) MB \|$"


def test_the_docs_table_has_every_preset_as_it_is() -> None:
    rows = re.findall(ROW, DOCS.read_text("utf-8").split(HEAD)[1].split("\n\n")[0], re.M)
    found = {
        name: ((int(width), int(height)), float(share), float(margin), tuple(formats.split(", ")), int(most) * MB)
        for name, width, height, share, margin, formats, most in rows
    }
    assert found == {
        name: (place.size, place.share, place.margin, place.formats, place.max_bytes)
        for name, place in MARKETPLACES.items()
    }


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("ebai", "the nearest name is ebay"),
        ("ETSY", "the nearest name is etsy"),
        ("", "use one of amazon, ebay, "),
        ("q" * 10_000, "use one of amazon"),
    ],
)
def test_a_name_without_a_preset_is_one_line(name: str, line: str) -> None:
    with pytest.raises(APIError, match=line) as refused:
        find(name)
    assert len(refused.value.message) < 200 and refused.value.param == "marketplace"
