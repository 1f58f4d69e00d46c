"""The painter's steps of a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq

from p2i_ray.config import Config, load
from p2i_ray.diffusion.features import index
from p2i_ray.diffusion.features.index import FeatureIndex
from p2i_ray.run.folder import Counts, Manifest, Run
from p2i_ray.steps.painting import encode
from p2i_ray.storage import locations
from p2i_ray.storage.parquet import write_table


def test_features_move_with_their_run_and_are_found_again(ray_cluster: None, mini_data: str, tmp_path: Path) -> None:
    def usable(run: Run, encoded: Manifest) -> int:
        shards = locations.resolve(encoded.facts["shards"], run.dir)
        features = FeatureIndex(run.path(1, "features"), encoded.files, shards)
        return sum(batch.num_rows for batch in index.batches(features, None))

    def select(out: str) -> Counts:
        write_table(pq.read_table(f"{mini_data}/train", columns=["id"]).slice(0, 40), out)
        return Counts(rows_out=40)

    config = load(Config, "mini")
    run = Run.open(str(tmp_path / "run"), config)
    run.once(1, "select", "kept.parquet", select)
    first = encode(run, mini_data)
    assert (first.rows_in, first.rows_out, first.facts["encoded"], usable(run, first)) == (40, 40, 40, 40)

    shutil.move(tmp_path / "run", tmp_path / "moved")
    run = Run.open(str(tmp_path / "moved"), config)
    assert encode(run, mini_data) == first and usable(run, first) == 40

    shutil.rmtree(run.path(1, "features"))
    again = encode(run, mini_data)
    assert (again.rows_out, again.facts["encoded"], again.facts["reused"], usable(run, again)) == (40, 0, 40, 40)
