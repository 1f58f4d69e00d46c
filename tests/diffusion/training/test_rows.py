"""Rows by number, in an order that depends on the seed only."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.features.index import FeatureIndex
from p2i_ray.diffusion.training import rows
from tests.support.make_features import make_features


@pytest.fixture
def features(tiny_painter: DiffusionConfig, tmp_path: Path) -> FeatureIndex:
    return make_features(tmp_path / "features", tiny_painter, count=10, resolution=16)


def test_rows_come_sorted_and_without_those_set_aside(features: FeatureIndex) -> None:
    path = rows.copy_to_node(features, None)
    data = rows.Rows(path)
    rows.unlink(path)
    assert not Path(path).exists()
    assert len(data) == 10
    assert data.ids(range(10)) == [f"row-{n:03}" for n in range(10)]
    table = data.table([7, 2, 7])
    arrays = rows.unpack(table)
    assert rows.latent_shape(table) == (4, 8, 8)
    assert table["number"].to_pylist() == [7, 2, 7]
    assert table["name"].to_pylist() == ["cup number 7", "cup number 2", "cup number 7"]
    assert {n: a.shape for n, a in arrays.items()} == {
        "image_moments": (3, 8, 8, 8),
        "product_moments": (3, 8, 8, 8),
        "mask": (3, 1, 8, 8),
        "background_clip": (3, 8),
        "image_clip": (3, 8),
    }
    np.testing.assert_array_equal(arrays["image_moments"][0], arrays["image_moments"][2])
    assert not np.array_equal(arrays["image_moments"][0], arrays["image_moments"][1])


def test_only_kept_rows(features: FeatureIndex, tmp_path: Path) -> None:
    keep = tmp_path / "kept.parquet"
    pq.write_table(pa.table({"id": ["row-003", "row-008", "row-bad"]}), keep)
    path = rows.copy_to_node(features, str(keep))
    assert rows.Rows(path).ids(range(2)) == ["row-003", "row-008"]
    rows.unlink(path)


def test_every_epoch_has_every_row_once_and_batches_go_on_into_the_next() -> None:
    order = rows.BatchOrder(1, [np.arange(10)], 4)
    taken = [number for step in range(5) for number in order.of_step(step)]
    assert sorted(taken[:10]) == sorted(taken[10:]) == list(range(10))
    assert taken[:10] != taken[10:]
    assert Counter(taken) == dict.fromkeys(range(10), 2)
    assert rows.BatchOrder(1, [np.arange(10)], 4).of_step(2) == taken[8:12]
    assert rows.BatchOrder(2, [np.arange(10)], 4).of_step(0) != taken[:4]


def test_every_batch_is_of_one_size_and_sizes_take_turns_by_their_rows() -> None:
    sizes = [np.array([3, 5, 8, 9, 10, 11]), np.array([0, 1, 2, 4]), np.array([6, 7])]  # the last fills no batch of 3
    order = rows.BatchOrder(1, sizes, 3)
    batches = [order.of_step(step) for step in range(20)]
    used = [Counter(number for batch in batches if set(batch) <= set(size) for number in batch) for size in sizes]
    assert [sum(counter.values()) for counter in used] == [36, 24, 0]  # 6 to 4
    assert used[0] == dict.fromkeys(sizes[0].tolist(), 6) and used[1] == dict.fromkeys(sizes[1].tolist(), 6)
    assert len({tuple(sorted(batch)) for batch in batches}) > 4
    assert rows.BatchOrder(1, sizes, 3).of_step(13) == batches[13]  # whichever step is asked for first
    assert rows.BatchOrder(1, sizes[:1], 3).of_step(0) == rows.BatchOrder(1, [sizes[0], sizes[2]], 3).of_step(0)
