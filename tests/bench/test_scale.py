"""Figures of very many rows."""

from __future__ import annotations

from bench.children import Cost
from bench.scale import per_million, size


def test_figures_are_those_of_a_million_rows() -> None:
    assert per_million("select", 250_000, Cost(2.0, 50.0, 1.0)) == {
        "scale_select_s_per_m_250k": 8.0,
        "scale_select_mb_per_m_250k": 200.0,
    }


def test_sizes_have_short_names() -> None:
    assert [size(rows) for rows in (500, 1024, 100_000, 1_000_000, 1_500_000, 10_000_000)] == [
        "0.5k",
        "1.024k",
        "100k",
        "1m",
        "1500k",
        "10m",
    ]
