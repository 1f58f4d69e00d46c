"""The arms' runs: one that is finished is left alone, unless what it was made of is another by now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from p2i_ray.comparison.arm_runs import ArmRuns
from p2i_ray.comparison.arms import BY_NAME
from p2i_ray.config import Config, load
from p2i_ray.config.comparison import ComparisonConfig
from p2i_ray.config.loading import dump
from p2i_ray.errors import UserError
from p2i_ray.idr_run import RunConfig
from p2i_ray.judge.judge import Judge
from p2i_ray.run import manifests, status
from p2i_ray.run.inputs import RunInputs
from p2i_ray.run.manifests import Manifest
from p2i_ray.steps.inputs import inputs_of
from p2i_ray.storage import locations

ARM = BY_NAME["no_filter"]


def arm_runs(folder: Path, *settings: str) -> ArmRuns:
    config = load(Config, "mini", ["idr.rounds=1", "idr.steps=[4]", *settings])
    return ArmRuns(config, ComparisonConfig(), "{name}", data=str(folder / "data"), out=str(folder / "out"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A comparison with one finished arm, whose run did nothing but train."""
    for split in ("train", "validation"):
        (tmp_path / "data" / split).mkdir(parents=True)
        (tmp_path / "data" / split / "part-000.parquet").write_bytes(b"rows")
    runs = arm_runs(tmp_path)
    run_dir, config = runs.folder(ARM.name, 0), runs.settings(ARM, 0)
    asked = RunConfig(**dict(config), run_dir=run_dir, data=runs.data)
    used = RunInputs(run_dir, inputs_of(config, runs.data)).of(["data/train"])
    done = Manifest(step="train", round=1, seconds=1, inputs=used)
    locations.write_text(manifests.location(run_dir, 1, "train"), done.model_dump_json())
    locations.write_text(locations.join(run_dir, status.CONFIG), dump(asked))
    locations.write_text(f"{run_dir}.json", json.dumps(asked.model_dump(mode="json")))
    return tmp_path


def test_a_finished_arm_is_left_alone(folder: Path, unasked: Judge) -> None:
    runs = arm_runs(folder)
    assert runs.run(ARM, 0, unasked) == runs.folder(ARM.name, 0)
    assert runs.model(ARM.name, 0, 1) == f"{folder}/out/arms/no_filter-0/round-1/checkpoint"


def test_a_finished_arm_of_other_data_or_settings_is_not_taken_as_it_is(folder: Path, unasked: Judge) -> None:
    ways_out = r"; change it back, or give another out$"
    with pytest.raises(UserError, match=rf"train.temperature: [\d.]+ -> 0.5, used by round 1 · train{ways_out}"):
        arm_runs(folder, "train.temperature=0.5").run(ARM, 0, unasked)
    (folder / "data" / "train" / "part-000.parquet").write_bytes(b"others")
    with pytest.raises(UserError, match=rf"data/train \(\S+\) holds something else, used by round 1 · train{ways_out}"):
        arm_runs(folder).run(ARM, 0, unasked)


@pytest.fixture
def unasked() -> Judge:
    """A judge whose engines never start."""
    config = load(Config, "mini")
    return Judge(config.judge, config.image, config.seed)
