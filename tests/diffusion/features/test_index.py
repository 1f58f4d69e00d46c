"""The rows to train on, from index and shards; what is missing is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.features import index, schema
from p2i_ray.diffusion.features.encoders import load_encoders
from p2i_ray.diffusion.features.index import FeatureIndex
from p2i_ray.diffusion.step import product2img_loss
from p2i_ray.errors import UserError
from tests.support.make_batch import make_batch, make_model
from tests.support.make_features import make_features, make_pictures

Find = Callable[[FeatureIndex, None], object]


@pytest.fixture
def features(tiny_painter: DiffusionConfig, tmp_path: Path) -> FeatureIndex:
    """Ten rows; the first five are in part-1."""
    return make_features(tmp_path / "features", tiny_painter, count=10, resolution=16)


def read(features: FeatureIndex, keep: str | None = None) -> pa.Table:
    return pa.Table.from_batches(index.batches(features, keep), schema.PLAIN.features).sort_by("id")


def keep_file(place: Path, *ids: str) -> str:
    pq.write_table(pa.table({"id": ids}), place / "kept.parquet")
    return str(place / "kept.parquet")


def test_rows_without_those_set_aside(features: FeatureIndex) -> None:
    assert index.count(features, None) == 10
    assert index.ids(features, None).to_pylist() == [f"row-{n:03}" for n in range(10)]
    table = read(features)
    assert table.schema == schema.PLAIN.features
    assert table["id"].to_pylist() == index.ids(features, None).to_pylist()
    assert table["name"].to_pylist() == [f"cup number {n}" for n in range(10)]
    assert index.row_bytes(features) > 2 * 2 * 8 * 8 * 8  # two moments at two bytes


def test_only_kept_rows_from_only_the_shards_they_are_in(features: FeatureIndex, tmp_path: Path) -> None:
    keep = keep_file(tmp_path, "row-003", "row-001", "row-bad")
    Path(features.shards, "part-0.parquet").unlink()
    assert index.count(features, keep) == 2
    assert read(features, keep)["id"].to_pylist() == ["row-001", "row-003"]
    assert index.count(features, keep_file(tmp_path, "row-bad")) == 0
    assert read(features, keep_file(tmp_path, "row-bad")).num_rows == 0


def test_rows_that_the_index_does_not_have_are_named(features: FeatureIndex, tmp_path: Path) -> None:
    keep = keep_file(tmp_path, "row-003", *(f"new-{n}" for n in range(5)))
    with pytest.raises(
        UserError, match=r"kept.parquet lists new-0, new-1, new-2 and 2 more, of which .*features knows"
    ):
        index.count(features, keep)
    with pytest.raises(UserError, match=r"other.parquet is gone; it is a Parquet file whose column id lists"):
        index.count(features, str(tmp_path / "other.parquet"))


@pytest.mark.parametrize("find", [index.check, read])
def test_a_missing_shard_is_named(features: FeatureIndex, find: Find) -> None:
    find(features, None)
    Path(features.shards, "part-1.parquet").unlink()
    assert index.count(features, None) == 10
    line = (
        r"shards/part-1.parquet is gone; it has the features of row-000, row-001, row-002 and 2 more: "
        rf"remove {features.index}, and run again"
    )
    with pytest.raises(UserError, match=line):
        find(features, None)


@pytest.mark.parametrize(("find", "where"), [(index.check, "end"), (read, "end"), (read, "middle")])
def test_a_broken_shard_is_named(features: FeatureIndex, find: Find, where: str) -> None:
    file = Path(features.shards, "part-0.parquet")
    content = file.read_bytes()
    file.write_bytes(content[:-100] if where == "end" else content[:50] + bytes(400) + content[450:])
    line = (
        rf"part-0.parquet can't be read \(.*\); it has the features of row-005, .*: remove {file} and {features.index}"
    )
    with pytest.raises(UserError, match=line):
        find(features, None)


@pytest.mark.parametrize("find", [index.check, read])
def test_a_shard_that_lacks_rows_or_columns(features: FeatureIndex, find: Find) -> None:
    file = Path(features.shards, "part-0.parquet")
    table = pq.read_table(file)
    pq.write_table(table.slice(2), file)
    with pytest.raises(
        UserError, match=r"part-0.parquet has no features of row-005, row-006, though the index says so"
    ):
        find(features, None)
    pq.write_table(table.drop_columns(["mask"]), file)
    with pytest.raises(UserError, match=r"part-0.parquet lacks the column mask; it has the features of row-005"):
        find(features, None)


def test_an_index_file_that_is_gone_or_lacks_a_column(features: FeatureIndex) -> None:
    file = Path(features.index, "part-1.parquet")
    pq.write_table(pq.read_table(file).drop_columns(["shard"]), file)
    with pytest.raises(UserError, match=r"features/part-1.parquet lacks the column shard; it lists which rows"):
        read(features)
    file.unlink()
    with pytest.raises(
        UserError, match=rf"part-1.parquet is gone; it lists .*: remove {features.index}, and run again"
    ):
        index.count(features, None)


def test_no_features_at_all(features: FeatureIndex, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere has no features; remove"):
        index.row_bytes(FeatureIndex(features.index, features.files, str(tmp_path / "nowhere")))


def test_the_loss_is_the_same_with_and_without_the_cache(features: FeatureIndex, tiny_painter: DiffusionConfig) -> None:
    """To what half precision leaves of the moments; rounded alike, it is the same to the last bit."""
    parts, model = make_model(tiny_painter)
    fresh = load_encoders(tiny_painter, "cpu").encode(*make_pictures(10, 16))._asdict()
    fresh = {name: values[:4] for name, values in fresh.items()}
    table = read(features).slice(0, 4)
    cached = {name: schema.unpack(table[name], name, values.shape[1:]) for name, values in fresh.items()}
    rounded = {name: schema.narrow(values, name).astype(np.float32) for name, values in fresh.items()}

    def loss(arrays: dict[str, np.ndarray]) -> torch.Tensor:
        batch = make_batch(parts, range(4))._replace(**{n: torch.tensor(v).float() for n, v in arrays.items()})
        with torch.no_grad():
            losses = product2img_loss(model, batch, batch)
        return torch.stack([losses.total, *losses.inpaint, losses.cl_background, losses.cl_name])

    torch.testing.assert_close(loss(cached), loss(fresh), rtol=1e-3, atol=0)
    assert torch.equal(loss(cached), loss(rounded))
