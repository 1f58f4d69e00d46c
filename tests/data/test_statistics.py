"""Figures worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from p2i_ray.config import ImageConfig
from p2i_ray.data import statistics, writing


def sample(id: str, name: str, category: str, grey: int, rows_of_product: int) -> dict:
    mask = np.zeros((10, 10), np.uint8)
    mask[:rows_of_product] = 255
    return writing.sample(id, name, category, np.full((10, 10, 3), grey, np.uint8), mask, lossless=True)


def test_figures(tmp_path: Path, ray_cluster: None) -> None:
    data = str(tmp_path / "data")
    broken = sample("d", "Bag", "Bag", 9, 5)
    broken["cutout"]["bytes"] = b"broken"
    writing.write_split(data, "train", [sample("a", "Mug", "Cup", 1, 2), sample("b", "Mugs", "Cup", 2, 4), broken])
    writing.write_split(data, "test_unseen", [sample("a", "Lamp 5", "Lamp", 1, 6), sample("e", "Bag", "Bag", 7, 6)])
    done: list[int] = []
    table = statistics.measure(data, str(tmp_path / "work"), ImageConfig(), done.append)
    figures = statistics.summarise(table)
    assert sum(done) == figures["rows"] == 5
    assert figures["splits"] == {"train": 3, "test_unseen": 2}
    assert figures["categories"] == 3 and figures["unseen_categories_in_train"] == ["Bag"]
    assert figures["name_chars"]["median"] == 3 and figures["name_chars"]["max"] == 6
    assert figures["image_sizes"] == {"10x10": 5}
    assert figures["product_share"] == {"min": 0.2, "p25": 0.35, "median": 0.5, "p75": 0.6, "max": 0.6}
    assert (figures["repeated_ids"], figures["repeated_images"], figures["images_in_several_splits"]) == (1, 1, 1)
    assert figures["unusable"] == {"unreadable": 1}
    assert statistics.plot(table, "five rows").startswith(b"\x89PNG")
