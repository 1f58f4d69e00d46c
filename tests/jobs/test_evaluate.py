"""jobs/evaluate.py: what it says about mistakes, before anything is painted."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from p2i_ray.console.cli import main
from p2i_ray.evaluate import picture_values, record
from p2i_ray.evaluate.record import Conditions, Measured, Record
from tests.support.load_job import load_job

WEIGHTS = Path(__file__).parents[2] / "p2i_ray" / "mini" / "weights"

MODEL, CLIP = WEIGHTS / "diffusion", WEIGHTS / "evaluator_clip"


@pytest.fixture(scope="module")
def job() -> ModuleType:
    return load_job("evaluate")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["methods=fid,clip_c"], "unknown metric 'clip_c'; there are fid, clip_c_i, clip_c_b"),
        (["methods=,"], "no metric is asked for"),
        (["model=/nowhere"], "model folder /nowhere is not there"),
        (["data=/nowhere"], "data /nowhere is not there"),
        (["split=tset"], "split 'tset' is none of train"),
        (["out=/tmp"], "/tmp is there already"),
        ([], "has no unet/; give the diffusers folder"),
        (["evaluate.clip=/nowhere"], "evaluate.clip=/nowhere is no transformers CLIP folder"),
        (["methods=scene_fit", "evaluate.scenes=/nowhere"], "evaluate.scenes=/nowhere is not there"),
        (
            ["methods=scene_fit", "evaluate.scenes={folder}/few.yaml"],
            "no entry in suits for the data's 'dish soap', 'floor lamp'",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    job: ModuleType, mini_data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], settings: list[str], line: str
) -> None:
    (tmp_path / "few.yaml").write_text("{scenes: {beach: a beach, plain: a wall}, suits: {sunscreen: beach}}")
    settings = [setting.format(folder=tmp_path) for setting in settings]
    given = [f"data={mini_data}", f"model={mini_data}", f"out={tmp_path}/out", *settings]
    with pytest.raises(SystemExit) as stopped:
        main(job.EvaluateJob, job.__doc__, job.run, ["--config", "mini", *given])
    assert stopped.value.code == 2
    errors = [text for text in capfd.readouterr().err.splitlines() if text.startswith("error: ")]
    assert len(errors) == 1
    assert line in errors[0]
    assert not Path(tmp_path, "out").exists()


def test_rows_with_one_id_are_told_before_anything_is_painted(
    job: ModuleType, mini_data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Their figures would be mixed up: a picture's values are kept by its id."""
    rows = pq.read_table(Path(mini_data, "test_unseen", "part-000.parquet"))
    (tmp_path / "data" / "test_unseen").mkdir(parents=True)
    pq.write_table(pa.concat_tables([rows, rows.slice(3, 1)]), tmp_path / "data" / "test_unseen" / "part-000.parquet")
    given = [f"data={tmp_path}/data", "split=test_unseen", f"model={MODEL}", f"out={tmp_path}/out"]
    with pytest.raises(SystemExit) as stopped:
        main(job.EvaluateJob, job.__doc__, job.run, ["--config", "mini", *given])
    assert stopped.value.code == 2
    assert f"2 rows of test_unseen have the id {rows['id'][3]}; give each row" in capfd.readouterr().err
    assert not Path(tmp_path, "out").exists()


def test_a_failed_evaluation_goes_on_with_the_pictures_that_it_has_and_takes_further_metrics(
    ray_cluster: None, job: ModuleType, mini_data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    given = [f"data={mini_data}", f"model={MODEL}", f"out={out}", "split=test_unseen", "generate.num_inference_steps=1"]

    def run(*settings: str) -> None:
        main(job.EvaluateJob, job.__doc__, job.run, ["--config", "mini", *given, "generate.num_workers=1", *settings])

    broken = shutil.copytree(CLIP, tmp_path / "clip")
    weights = load_file(broken / "model.safetensors")
    del weights["visual_projection.weight"]  # which is found when the model is loaded
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SystemExit) as stopped:
        run(f"evaluate.clip={broken}")
    assert stopped.value.code == 2
    painted = {path: path.stat().st_mtime_ns for path in (out / "generated").iterdir()}
    assert painted and not (out / "metrics.json").exists()
    run("methods=clip_c_b,scene_fit")
    assert {path: path.stat().st_mtime_ns for path in (out / "generated").iterdir()} == painted
    assert json.loads((out / "metrics.json").read_text())["images"] == 8
    assert record.read(str(out)).metrics["clip_c_b"].conditions.images == 8
    values = picture_values.read(str(out), "clip_c_b") or {}
    assert len(values) == 8 and picture_values.read(str(out), "fid") is None
    assert sum(values.values()) / 8 == pytest.approx(json.loads((out / "metrics.json").read_text())["clip_c_b"])
    pictures = {path: path.stat().st_mtime_ns for path in (out / "generated").iterdir()}
    with pytest.raises(SystemExit):
        run("methods=scene_fit,clip_c_b")  # it has both
    assert f"{out} is there already, and has clip_c_b, scene_fit; ask for others" in capfd.readouterr().err
    with pytest.raises(SystemExit):
        run("methods=category_distance", "seed=7")
    assert "its pictures were painted with something else (seed); give" in capfd.readouterr().err

    def clusters() -> None:
        given = ["--config", "mini", "--clusters", f"evaluated={out}", f"out={tmp_path}/c.png"]
        main(job.EvaluateJob, job.__doc__, job.run, given, instead=[job.CLUSTERS])

    with pytest.raises(SystemExit) as stopped:
        clusters()
    found = re.search(r"give the command that made it again with (methods=\S+), which", capfd.readouterr().err)
    assert stopped.value.code == 2 and found
    run(found[1])  # as the line says
    clusters()
    assert Path(tmp_path, "c.png").exists()
    assert {path: path.stat().st_mtime_ns for path in (out / "generated").iterdir()} == pictures
    assert list(record.read(str(out)).metrics) == ["clip_c_b", "scene_fit", "category_distance"]
    assert picture_values.read(str(out), "clip_c_b") == values
    figures = json.loads((out / "metrics.json").read_text())
    assert {"clip_c_b", "scene_fit", "category_distance", "images"} <= set(figures) and not (out / "further").exists()

    (tmp_path / "pictures").mkdir()
    for row in pq.read_table(out / "generated", columns=["id", "image"]).to_pylist():
        Path(tmp_path, "pictures", f"{row['id']}.png").write_bytes(row["image"]["bytes"])
    run("method=given", f"model={tmp_path}/pictures", "methods=clip_c_b", f"out={tmp_path}/given")
    assert picture_values.read(str(tmp_path / "given"), "clip_c_b") == values  # as if another program had painted them
    assert record.read(str(tmp_path / "given")).model == f"given {tmp_path}/pictures"


def test_a_table_of_evaluations(job: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name, images in (("a", 8), ("b", 8), ("c", 9)):
        conditions = Conditions(
            library="l", weights="w", settings={}, resolution=64, images=images, real_images=0, data="d"
        )
        (tmp_path / name).mkdir()
        found = Measured(figures={"clip_c_b": 12.5}, conditions=conditions)
        record.write(Record(model="m", metrics={"clip_c_b": found}), str(tmp_path / name))

    def table(*names: str, paired: bool = False) -> None:
        evaluated = ",".join(f"{tmp_path}/{name}" for name in names)
        given = ["--config", "mini", "--table", f"evaluated={evaluated}", f"paired={str(paired).lower()}"]
        main(job.EvaluateJob, job.__doc__, job.run, given, instead=[job.TABLE])

    table("a", "b")
    assert capfd.readouterr().out.splitlines()[1].split() == [f"{tmp_path}/a", "12.5"]
    with pytest.raises(SystemExit) as stopped:
        table("a", "c")
    assert stopped.value.code == 2
    assert "can't be compared by clip_c_b: images 8 and 9" in capfd.readouterr().err
    for action in ("--table", "--clusters"):
        given = [action, f"evaluated={tmp_path}/a,{tmp_path}/b,{tmp_path}/a/"]
        given += [f"out={tmp_path}/c.png"] if action == "--clusters" else []
        with pytest.raises(SystemExit) as stopped:
            main(job.EvaluateJob, job.__doc__, job.run, ["--config", "mini", *given], instead=[job.TABLE, job.CLUSTERS])
        assert stopped.value.code == 2
        assert f"error: evaluated= names {tmp_path}/a twice; name each evaluation once" in capfd.readouterr().err
    for name, value in (("a", 12.0), ("b", 13.0)):
        picture_values.write(str(tmp_path / name), ["x", "y"], {"clip_c_b": np.array([value, value])}, {})
    table("a", "b", paired=True)
    line = capfd.readouterr().out.splitlines()[1]
    assert line == f"{tmp_path}/b - {tmp_path}/a  1 (1 to 1) of 2"
