"""What is found before the first step, without a model and without Ray."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from p2i_ray.config import Config, load
from p2i_ray.data import reading
from p2i_ray.errors import UserError
from p2i_ray.mini.data import make
from p2i_ray.steps import checks


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """10 rows to train on, 1 to validate with."""
    folder = tmp_path_factory.mktemp("few")
    make(folder, train=10, validation=1, test=2, test_unseen=1)
    return str(folder)


def config(*settings: str) -> Config:
    return load(Config, "mini", ["train.batch_size=4", "idr.dev_split=test", *settings])


def test_what_suits_passes(data: str) -> None:
    checks.check(config(), data)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            ["train.batch_size=16"],
            "round 1/3 · train: 10 rows are left to train on, fewer than train.batch_size=16",
        ),
        (["idr.keep_fraction=0.5"], "round 2/3 · train: 3 rows are left to train on, fewer than train.batch_size=4"),
        (["idr.dev_split=validation"], "FID needs 2 pictures a side, and validation has 1 scenes; give a larger split"),
        (["idr.dev_split=nothing"], "split 'nothing' is none of train"),
        (["evaluate.fid_features=inception"], "evaluate.fid_features=inception needs "),
        (["evaluate.clip=/nowhere"], "evaluate.clip=/nowhere is no transformers CLIP folder (no config.json)"),
        (["diffusion.base=/nowhere"], "model folder /nowhere is not there"),
        (["diffusion.clip=/nowhere"], "/nowhere/config.json is not there"),
        (["judge.model=/nowhere"], "judge.model=/nowhere: there is no such folder"),
        (["judge.prompts=/nowhere"], "/nowhere"),
        (["judge.exemplars=/nowhere.parquet"], "exemplars /nowhere.parquet are not there"),
        (["judge.cascade.clip=/nowhere"], "judge.cascade.clip=/nowhere has no config.json"),
        (["calibration.gold=/nowhere.csv"], "gold scores /nowhere.csv are not there"),
        (["train.tracking.tool=mlflow"], "train.tracking.tool=mlflow"),
    ],
)
def test_what_would_end_a_step_is_one_line(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: list[str], line: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError) as raised:
        checks.check(config(*settings), data)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_data_that_are_not_there_are_one_line(data: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not there; jobs/ingest.py makes such a folder"):
        checks.check(config(), str(tmp_path / "nothing"))
    shutil.copytree(f"{data}/train", tmp_path / "half" / "train")
    with pytest.raises(UserError, match="has no split 'test'"):
        checks.check(config(), str(tmp_path / "half"))


def test_a_run_that_goes_on_is_not_judged_by_what_its_first_rounds_kept(data: str) -> None:
    checks.check(config("idr.keep_fraction=0.5"), data, begun=True)
    with pytest.raises(UserError, match=r"^round 1/3 · train: 10 rows"):
        checks.check(config("train.batch_size=16"), data, begun=True)


def test_scores_of_other_rows_are_told_before_a_round(
    data: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = tmp_path / "given.csv"
    settings = config(f"idr.given_scores={given}")
    given.write_text("id,score\nanother,3\n")
    with pytest.raises(
        UserError, match=f"given.csv has no score for any of the 10 rows of {data}/train; its ids, as 'an"
    ):
        checks.check(settings, data)
    ids = [id_ for file in reading.split_files(data, "train") for id_ in reading.ids_of(file)]
    given.write_text("id,score\n" + "".join(f"{id_},3\n" for id_ in ids[:3]))
    with pytest.raises(UserError, match="round 1/3 · train: 3 rows are left to train on, fewer than train"):
        checks.check(settings, data)
    caplog.clear()
    given.write_text("id,score\n" + "".join(f"{id_},3\n" for id_ in ids[:6]))
    checks.check(settings, data)
    assert "has no score for 4 of the 10 rows of train, which are set aside" in caplog.text
    caplog.clear()
    given.write_text("id,score\n" + "".join(f"{id_},3\n" for id_ in ids))
    checks.check(settings, data)
    assert not caplog.text
