"""Features of S_1: made once, moved with their run, made again where they were removed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from p2i_ray.config import Config, load
from p2i_ray.diffusion.features import index
from p2i_ray.diffusion.features.index import FeatureIndex
from p2i_ray.run.folder import Counts, Run
from p2i_ray.run.step_table import SELECT, TRAIN
from p2i_ray.steps.encode import encode
from p2i_ray.steps.round import Output, Round
from p2i_ray.storage import locations
from p2i_ray.storage.parquet import write_table

NO_JUDGE: Any = None  # this step asks none


def test_features_move_with_their_run_and_are_found_again(ray_cluster: None, mini_data: str, tmp_path: Path) -> None:
    def usable(run: Run, encoded: Output) -> int:
        shards = locations.resolve(encoded.manifest.facts["shards"], run.dir)
        features = FeatureIndex(encoded.location, encoded.files, shards)
        return sum(batch.num_rows for batch in index.batches(features, None))

    def encode_in(run: Run) -> Output:
        return encode(Round(run, 1, mini_data, NO_JUDGE))

    def select(out: str) -> Counts:
        write_table(pq.read_table(f"{mini_data}/train", columns=["id"]).slice(0, 40), out)
        return Counts(rows_out=40)

    config = load(Config, "mini")
    run = Run.open(str(tmp_path / "run"), config)
    run.once(1, SELECT, select)
    first = encode_in(run)
    counted = first.manifest
    assert (counted.rows_in, counted.rows_out, counted.facts["encoded"], usable(run, first)) == (40, 40, 40, 40)

    shutil.move(tmp_path / "run", tmp_path / "moved")
    run = Run.open(str(tmp_path / "moved"), config)
    assert encode_in(run).manifest == counted and usable(run, encode_in(run)) == 40

    shutil.rmtree(run.path(1, "features"))
    again = encode_in(run)
    facts = again.manifest.facts
    assert (again.rows, facts["encoded"], facts["reused"], usable(run, again)) == (40, 0, 40, 40)

    run.once(1, TRAIN, lambda _: Counts())
    shutil.rmtree(run.path(1, "features"))
    assert encode_in(run) == again  # nobody needs them any more
    assert not Path(run.path(1, "features")).exists()
