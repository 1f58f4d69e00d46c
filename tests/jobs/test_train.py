"""`python jobs/train.py`, as a user runs it: bad input is one line, and a killed job goes on."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from p2i_ray.config import ImageConfig, load
from p2i_ray.errors import UserError
from tests.support.kill_when import kill_when
from tests.support.load_job import load_job

ROOT = Path(__file__).parents[2]
PAINTER = ROOT / "p2i_ray" / "mini" / "weights" / "diffusion"


def command(data: str, out: Path, *settings: str) -> list[str]:
    return [sys.executable, "jobs/train.py", "--config", "mini", f"data={data}", f"out={out}", *settings]


def refused(*settings: str, out: Path, data: str = "nowhere") -> str:
    done = subprocess.run(command(data, out, *settings), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    return last


def test_bad_input_is_one_line_before_anything_starts(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(PAINTER, plain)
    config = json.loads((plain / "unet" / "config.json").read_text())
    (plain / "unet" / "config.json").write_text(json.dumps({**config, "in_channels": 4}))
    out = tmp_path / "model"
    assert "train.batch_size=32 can't be shared by train.num_workers=3" in refused("train.num_workers=3", out=out)
    assert "has 4 input channels" in (line := refused(f"model={plain}", out=out)) and "diffusion.widen=true" in line
    assert "image.resolution=70" in refused("image.resolution=70", out=out)
    assert "keep /nowhere.parquet is not there" in refused("keep=/nowhere.parquet", out=out)
    line = refused("generator=category", "generators.categories=/nowhere.csv", out=out)
    assert "generators.categories=/nowhere.csv is not there; check the path" in line
    assert "data" in refused(out=out) and not out.exists() and not Path(f"{out}.work").exists()


def test_rows_with_other_categories_are_refused_before_they_are_encoded(tmp_path: Path, mini_data: str) -> None:
    file, out = tmp_path / "categories.csv", tmp_path / "model"
    file.write_text("category,parent\ntea pot,\n")
    line = refused("generator=category", f"generators.categories={file}", out=out, data=mini_data)
    assert f"rows have categories that generators.categories={file} doesn't have: " in line
    assert not out.exists() and not Path(f"{out}.work").exists()


def test_an_unfinished_training_goes_on_with_its_own_settings_only(tmp_path: Path) -> None:
    job = load_job("train")
    work = str(tmp_path / "model.work")

    def settings(*given: str) -> dict[str, object]:
        return job.settings_of(load(job.TrainJob, "mini", ["data=x", f"out={tmp_path}/model", *given]), 60)

    job.stay_with(work, settings())
    job.stay_with(work, settings("train.batch_size=8"))  # nothing is trained yet
    (tmp_path / "model.work" / "train").mkdir()
    job.stay_with(work, settings("train.batch_size=8", "train.num_workers=1", "train.checkpointing_steps=9"))
    line = r"other settings \(train.batch_size: 8 -> 16; seed: 0 -> 1\); set them back, or remove .*model.work/train to"
    with pytest.raises(UserError, match=line):
        job.stay_with(work, settings("train.batch_size=16", "seed=1"))
    (tmp_path / "model.work" / "train").rmdir()  # as the line says
    job.stay_with(work, settings("train.batch_size=16", "seed=1"))


def test_features_of_replaced_data_are_not_taken(tmp_path: Path) -> None:
    job = load_job("train")
    for name in ("data/train/part.parquet", "model/x.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
    data, out = tmp_path / "data", tmp_path / "model.work" / "features"
    out.mkdir(parents=True)
    given = load(job.TrainJob, "mini", [f"data={data}", f"out={tmp_path}/model"])
    diffusion = given.diffusion.model_copy(update={"base": f"{tmp_path}/model", "clip": f"{tmp_path}/model"})
    asked = job.asked_of(given, diffusion, None)
    Path(f"{out}.json").write_text(json.dumps({"asked": asked, "files": ["a"], "shards": "s"}))
    assert job.encode(given, diffusion, None, str(out)).files == ["a"]
    older = {**asked, "image": {name: asked["image"][name] for name in ("resolution", "max_bytes", "max_pixels")}}
    Path(f"{out}.json").write_text(json.dumps({"asked": older, "files": ["a"], "shards": "s"}))
    assert job.encode(given, diffusion, None, str(out)).files == ["a"]
    wide = given.model_copy(update={"image": ImageConfig(resolution=64, aspect_ratios=("1:1", "16:9"), size_step=8)})
    with pytest.raises(UserError, match=r"features was made from something else \(image\)"):
        job.encode(wide, diffusion, None, str(out))
    (data / "train" / "part.parquet").write_text("after!")
    with pytest.raises(
        UserError, match=r"features was made from something else \(signatures\): .*remove .*model.work to"
    ):
        job.encode(given, diffusion, None, str(out))


@pytest.mark.slow
def test_killed_while_encoding_and_while_training_it_ends_like_an_undisturbed_one(
    tmp_path: Path, mini_data: str
) -> None:
    settings = ["steps=30", "train.batch_size=8", "train.checkpointing_steps=5", "train.ema_decay=0.9"]
    calm, stormy = tmp_path / "calm", tmp_path / "stormy"
    subprocess.run(command(mini_data, calm, *settings), cwd=ROOT, check=True)
    for moment in ("stormy.work/features-cache", "stormy.work/train/checkpoint_manager_snapshot.json"):
        kill_when(subprocess.Popen(command(mini_data, stormy, *settings), cwd=ROOT), tmp_path / moment)
        assert not stormy.exists()
    subprocess.run(command(mini_data, stormy, *settings), cwd=ROOT, check=True)
    results = []
    for folder in (calm, stormy):
        weights = sorted(folder.rglob("*.safetensors"))
        digests = {str(w.relative_to(folder)): hashlib.sha256(w.read_bytes()).hexdigest() for w in weights}
        results.append((json.loads((folder / "training.json").read_text())["steps"], digests))
    assert results[0] == results[1]
    assert not Path(f"{stormy}.work").exists()
