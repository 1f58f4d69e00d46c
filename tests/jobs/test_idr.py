"""`python jobs/idr.py`, as a user runs it: killed at any moment it ends as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file

from chaos.bucket import Bucket
from p2i_ray.config import load
from p2i_ray.console.cli import main
from p2i_ray.run import attempt_record as records
from p2i_ray.run.folder import Counts, Run
from p2i_ray.run.step_table import GENERATE, SCORE, SELECT
from p2i_ray.steps.inputs import inputs_of
from p2i_ray.storage import folders
from tests.support.kill_when import kill_when
from tests.support.load_job import load_job

ROOT = Path(__file__).parents[2]
MODEL, PROMPTS = ROOT / "p2i_ray" / "mini" / "weights" / "diffusion", ROOT / "p2i_ray" / "mini" / "prompts"
SMALL = [
    "idr.rounds=2",
    "idr.steps=[6, 4]",
    "train.batch_size=8",
    "train.checkpointing_steps=2",
    "generate.num_inference_steps=2",
    "generate.num_workers=1",
]


def command(run_dir: Path | str, data: str) -> list[str]:
    return [sys.executable, "jobs/idr.py", "--config", "mini", f"run_dir={run_dir}", f"data={data}", *SMALL]


def result(run_dir: Path) -> dict[str, object]:
    """What must be the same: kept ids, scores, feedback and every weight, bit for bit."""
    rounds = sorted(run_dir.glob("round-[12]"))
    weights = sorted((run_dir / "model").rglob("*.safetensors"))
    return {
        "kept": [pq.read_table(r / "kept.parquet")["id"].to_pylist() for r in rounds],
        "feedback": [(r / "feedback.txt").read_text() for r in rounds],
        "weights": {str(w.relative_to(run_dir)): hashlib.sha256(w.read_bytes()).hexdigest() for w in weights},
    }


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, mini_data: str) -> Path:
    """The folder of an undisturbed run on a disk."""
    run_dir = tmp_path_factory.mktemp("calm") / "run"
    subprocess.run(command(run_dir, mini_data), cwd=ROOT, check=True)
    return run_dir


@pytest.mark.slow
def test_in_a_bucket_that_answers_503_now_and_then_it_ends_as_on_a_disk(
    calm: Path, mini_data: str, s3_bucket: Bucket
) -> None:
    place, data = f"{s3_bucket.uri}/run", f"{s3_bucket.uri}/epbd"
    folders.put_folder(mini_data, data)
    s3_bucket.throttle.share = 0.1
    try:
        subprocess.run(command(place, data), cwd=ROOT, check=True)
    finally:
        s3_bucket.throttle.share = 0.0
    assert s3_bucket.throttle.refused
    with folders.local_folder(place) as copy:
        assert result(Path(copy)) == result(calm)


@pytest.mark.slow
def test_killed_at_several_moments_it_ends_like_an_undisturbed_run(calm: Path, tmp_path: Path, mini_data: str) -> None:
    run_dir = tmp_path / "stormy"
    for moment in ("round-0/generated", "round-1/scores", "round-1/train", "round-1/critiques", "round-2/checkpoint"):
        kill_when(subprocess.Popen(command(run_dir, mini_data), cwd=ROOT), run_dir / moment)
    subprocess.run(command(run_dir, mini_data), cwd=ROOT, check=True)
    assert result(run_dir) == result(calm)
    outcomes = [attempt.outcome for attempt in records.read(str(run_dir))]
    assert outcomes == [None] * 5 + ["done"]
    account = json.loads((calm / "run.json").read_text())["account"]
    assert account["attempts"] == 1 and account["starts_s"] > 0 and account["driver_share"] < 0.2
    assert (run_dir / "report.html").read_text("utf-8").count("between two attempts") == 5


Refused = Callable[..., str]


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Refused:
    """A function from settings to the one line that they are refused with, and exit code 2."""

    def refused(*settings: str) -> str:
        job = load_job("idr")
        with pytest.raises(SystemExit) as stopped:
            main(job.IdrJob, job.__doc__, job.run, ["--config", "mini", *settings])
        assert stopped.value.code == 2
        (line,) = [text for text in capfd.readouterr().err.splitlines() if text.startswith("error: ")]
        return line

    return refused


def test_as_a_program_bad_input_is_the_last_line_and_exit_code_2() -> None:
    given = [sys.executable, "jobs/idr.py", "--config", "mini", "idr.gama=3"]
    done = subprocess.run(given, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and "unknown setting 'idr.gama'; did you mean 'idr.gamma'?" in last


def test_bad_input_is_one_line_and_exit_code_2(refused: Refused, tmp_path: Path) -> None:
    assert "unknown setting 'idr.gama'; did you mean 'idr.gamma'?" in refused("idr.gama=3")
    assert "nosuch is not there" in refused(f"data={tmp_path}/nosuch", "prepare=null", f"run_dir={tmp_path}/run")
    typo = tmp_path / "tyop"
    line = refused(f"data={typo}", f"run_dir={tmp_path}/run")  # the toy world is made at the preset's own path alone
    assert line == f"error: data {typo} is not there; check the path, or make it from photos with jobs/ingest.py"
    assert not typo.exists() and not (tmp_path / "run").exists()


def test_what_would_end_a_later_step_is_told_before_the_first(refused: Refused, tmp_path: Path, mini_data: str) -> None:
    line = refused("train.batch_size=122", f"run_dir={tmp_path}/run", f"data={mini_data}")
    assert line.startswith("error: round 1/3 · train: 120 rows are left to train on, fewer than train.batch_size=122;")
    assert not (tmp_path / "run").exists()


def test_a_run_folder_without_rights_is_one_line_and_exit_code_2(refused: Refused, mini_data: str) -> None:
    line = refused("run_dir=/proc/nowhere/run", f"data={mini_data}")
    assert line.startswith("error: can't write, read and delete files in /proc/nowhere/run: No such file or directory")


def test_more_than_the_cluster_has_is_one_line_and_exit_code_2(
    ray_cluster: None, refused: Refused, tmp_path: Path, mini_data: str
) -> None:
    line = refused("generate.num_workers=99", f"run_dir={tmp_path}/run", f"data={mini_data}")
    assert line.startswith(
        "error: generate needs 99 x (CPU: 0.5) beside judge's 1 x (CPU: 0.5), and the cluster has no"
    )


def replace_pictures(data: Path) -> None:
    """Other pictures under the same ids."""
    for file in (data / "train").glob("*.parquet"):
        table = pq.read_table(file)
        pictures = table["image"].combine_chunks()
        pq.write_table(table.set_column(table.schema.get_field_index("image"), "image", pictures[::-1]), file)


def halve_weights(model: Path) -> None:
    file = model / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: value * 0.5 for name, value in load_file(file).items()}, file, {"format": "pt"})


def change_prompt(prompts: Path) -> None:
    text = (prompts / "score.yaml").read_text("utf-8")
    (prompts / "score.yaml").write_text(text.replace("version:", "version: changed #"), "utf-8")


@pytest.mark.parametrize(
    ("place", "change", "line"),
    [
        ("data", replace_pictures, r"data/train \(.*/data/train\) holds something else, used by round 1 · score"),
        ("base", halve_weights, r"diffusion.base \(.*/base\) holds something else, used by round 0 · generate"),
        (
            "prompts",
            change_prompt,
            r"judge.prompts/score \(.*score.yaml\) holds something else, used by round 1",
        ),
    ],
)
def test_what_a_run_is_made_of_does_not_change_unseen(
    tmp_path: Path,
    mini_data: str,
    refused: Refused,
    place: str,
    change: Callable[[Path], None],
    line: str,
) -> None:
    for name, source in (("data", mini_data), ("base", MODEL), ("prompts", PROMPTS)):
        shutil.copytree(source, tmp_path / name)
    places = [f"data={tmp_path}/data", f"diffusion.base={tmp_path}/base", f"judge.prompts={tmp_path}/prompts"]
    given = [*places, f"run_dir={tmp_path}/run", "calibration.rows=0"]
    config = load(load_job("idr").IdrJob, "mini", given)
    run = Run.open(config.run_dir, config, inputs=inputs_of(config, config.data))
    for number, step in [(0, GENERATE), (1, SCORE), (1, SELECT)]:
        run.once(number, step, lambda _: Counts())
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    change(tmp_path / place)
    error = refused(*given)
    assert re.search(line, error) and "--redo-from " in error
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
