"""`python jobs/evaluate.py --tables`, as a user runs it: killed, it goes on, to the same tables."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from p2i_ray.config import load
from p2i_ray.errors import UserError
from tests.support.generator_folders import make_folders
from tests.support.kill_when import kill_when
from tests.support.load_job import load_job

ROOT = Path(__file__).parents[2]
SMALL = [
    "idr.rounds=2",
    "idr.steps=[24,24]",
    "idr.inspect=16",
    "train.batch_size=8",
    "train.num_workers=1",
    "generate.num_inference_steps=2",
    "generate.num_workers=1",
    "comparison.seeds=[0]",
    "comparison.arms=[no_feedback,random,clip_score,self_training,epbd_ft]",
    "comparison.metrics=[kid,clip_c_b,scene_fit,available_rate]",
]
SPLITS = "comparison.splits=[test]"  # test_unseen has too few rows for KID


def command(out: Path, data: str) -> list[str]:
    own = [f"data={data}", f"out={out}", *SMALL, SPLITS]
    return [sys.executable, "jobs/evaluate.py", "--tables", "--config", "mini", *own]


VQA = "comparison.metrics=[vqa_score]"
HOSTED = ("evaluate.judge.model=m", "evaluate.judge.hosted.url=https://a.invalid/v1")


def refused(out: Path, data: str, *settings: str) -> str:
    """Why a comparison doesn't start; in this process, since nothing is started."""
    job = load_job("evaluate")
    given = [f"data={data}", f"out={out}", *SMALL, SPLITS, *settings]
    try:
        job.compare(load(job.ComparisonJob, "mini", given))
    except UserError as error:
        return str(error)
    raise AssertionError("it was not refused")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_same_seed_gives_the_same_tables_also_after_a_kill(mini_data: str, tmp_path: Path) -> None:
    calm, stormy = tmp_path / "calm", tmp_path / "stormy"
    own = make_folders(tmp_path / "generators")
    generators = [f"generators.category={own.category}", "generators.other_base=true", "comparison.beside=loop"]
    settings = [*generators, "comparison.methods=[sd_inpainting,category]"]
    subprocess.run([*command(calm, mini_data), *settings], cwd=ROOT, check=True)
    for moment in ("arms/feedback-0/round-2/steps", "arms/no_feedback-0.json", "self-training/0/painted"):
        kill_when(subprocess.Popen([*command(stormy, mini_data), *settings], cwd=ROOT), stormy / moment)
    before = {path: path.stat().st_mtime_ns for path in (stormy / "arms" / "feedback-0").rglob("*.safetensors")}
    subprocess.run([*command(stormy, mini_data), *settings], cwd=ROOT, check=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before  # the finished arm was left alone
    for name in ("tables.csv", "tables.md"):
        assert (stormy / name).read_text() == (calm / name).read_text()
    rows = {(line["table"], line["row"]) for line in csv.DictReader((calm / "tables.csv").open())}
    assert {
        ("arms", "random.2"),
        ("arms", "self_training.2"),
        ("table-1", "sd_inpainting"),
        ("table-1", "category"),
    } <= rows
    page = (calm / "comparison.html").read_text("utf-8")
    assert "Figure 6" in page and "Figure 8" in page and not re.search(r'(src|href)="(?!data:|#)', page)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["comparison.arms=[truth]"], "the arm truth needs comparison.truth"),
        (["comparison.arms=[aesthetics]"], "arm aesthetics: it needs evaluate.aesthetics"),
        (["comparison.methods=[lama]"], "error: method lama: it needs comparison.lama"),
        (["comparison.methods=[controlnet]"], "baseline.controlnet"),
        (["comparison.methods=[category]"], "error: method category: it needs generators.category"),
        (
            ["comparison.methods=[category]", "generators.category=/nowhere"],
            "generators.category=/nowhere is no folder",
        ),
        (
            ["comparison.methods=[category]", "generators.category=/nowhere", "comparison.beside=loop"],
            "set generators.other_base=true to try that, or comparison.beside=base",
        ),
        (
            ["comparison.methods=[category_personality]", "generators.category=/a", "generators.personality=/b"],
            "generators.personality paints in the style of a reference, and there is none",
        ),
        (["comparison.metrics=[fidd]"], "unknown metric 'fidd'"),
        (["comparison.metrics=[pickscore]"], "or leave pickscore out of the metrics"),
        (["comparison.splits=[tset]"], "tset"),
        (["comparison.seeds=[0,0]"], "0 is there twice"),
        (["comparison.seeds=[-1]"], "comparison.seeds.0=-1: Input should be greater than or equal to 0"),
        (["idr.steps=[2,2]"], "arm self_training: it could paint"),
        (["train.batch_size=640"], "arm feedback: "),
        (
            ["evaluate.judge.model=/nowhere"],
            "the held-out judge: evaluate.judge.model=/nowhere: there is no such folder",
        ),
        (["evaluate.judge.model=p2i_ray/mini/weights/judge", VQA], "is the same model as judge.model="),
        (
            [*HOSTED, "evaluate.judge.hosted.logprobs=false", VQA],
            "the held-out judge: vqa_score needs the judge's probabilities",
        ),
    ],
)
def test_what_is_missing_is_told_before_the_first_run(
    settings: list[str], told: str, mini_data: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert told in f"error: {refused(out, mini_data, *settings)}"
    assert not out.exists()


def test_a_folder_that_cant_be_made_is_told(mini_data: str) -> None:
    assert "can't write, read and delete files in /proc/x: " in refused(Path("/proc/x"), mini_data)


def test_a_folder_that_holds_something_else_is_left_alone(mini_data: str, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"")
    assert "is no comparison; give another out, or remove it" in refused(tmp_path, mini_data)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]
