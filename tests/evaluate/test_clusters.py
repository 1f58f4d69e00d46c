"""The figure of clusters: what is read of evaluations, where it is placed, and what it is drawn as."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.errors import UserError
from p2i_ray.evaluate import clusters, picture_values
from p2i_ray.evaluate.picture_values import GENERATED, REAL, Side

NAMES = ("lamp", "mug", "hat")


def evaluation(folder: Path, *, spread: float, seed: int = 0, each: int = 10) -> str:
    """An evaluation of some products of each category, whose backgrounds lie around three directions."""
    rng = np.random.default_rng(seed)
    ids = [f"{name}-{number}" for name in NAMES for number in range(each)]
    centres = np.repeat(10 * np.eye(3, 8), each, axis=0)
    sides = {
        GENERATED: Side(ids, centres + spread * rng.normal(size=centres.shape)),
        REAL: Side(["not-painted", *ids], np.concatenate([np.ones((1, 8)), centres])),
    }
    picture_values.write(str(folder), ids, {}, {"category_distance": sides})
    rows = {"id": ids, "category": [id_.partition("-")[0] for id_ in ids]}
    (folder / "generated").mkdir()
    pq.write_table(pa.table(rows), folder / "generated" / "part.parquet")
    pq.write_table(pa.table({"id": ["x"], "category": ["of a dead attempt"]}), folder / "generated" / "left.parquet")
    (folder / "generated.json").write_text(json.dumps({"files": ["part.parquet"]}))
    return str(folder)


def test_what_is_tight_lies_at_its_own_centre(tmp_path: Path) -> None:
    tight, loose = evaluation(tmp_path / "tight", spread=0.3), evaluation(tmp_path / "loose", spread=30, seed=1)
    found = clusters.points([tight, loose], most=5)
    assert found.categories == ["hat", "lamp", "mug"]  # as often as each other, so by name
    np.testing.assert_allclose(found.centres, np.eye(3, 8)[[2, 0, 1]], atol=1e-12)
    assert [len(names) for _, names in found.painted.values()] == [30, 30]
    centres, placed = clusters.layout(found)

    def share(folder: str) -> float:
        distances = np.linalg.norm(placed[folder][:, None] - centres, axis=2)
        nearest = [found.categories[place] for place in distances.argmin(axis=1)]
        return float(np.mean([one == two for one, two in zip(nearest, found.painted[folder][1], strict=True)]))

    assert share(tight) == 1 and share(loose) < 0.8


def test_fewer_categories_and_too_few_points(tmp_path: Path) -> None:
    folder = evaluation(tmp_path / "one", spread=0.3)
    assert clusters.points([folder], most=2).categories == ["hat", "lamp"]
    (tmp_path / "one" / "features-category_distance.parquet").unlink()
    with pytest.raises(
        UserError, match=r"no features of backgrounds; give the command .* with methods=category_distance"
    ):
        clusters.points([folder], most=2)


def test_too_few_points_for_which_more_categories_help_where_there_are_more(tmp_path: Path) -> None:
    folder = evaluation(tmp_path / "few", spread=0.3, each=3)
    with pytest.raises(UserError, match=r"needs 10 points, and there are 8; .* of the 3 categories by categories=$"):
        clusters.points([folder], most=2)
    assert len(clusters.points([folder], most=3).categories) == 3  # as the line says: 9 and 3 centres
    with pytest.raises(UserError, match=r"needs 10 points, and there are 9; evaluate more pictures$"):
        clusters.points([evaluation(tmp_path / "fewer", spread=0.3, each=2)], most=3)
