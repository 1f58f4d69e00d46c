"""jobs/calibrate.py: what it says about mistakes, and what it leaves with the tiny judge."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pyarrow.parquet as pq
import pytest

from p2i_ray.config import load
from p2i_ray.console.cli import main
from p2i_ray.judge.judge import Judge
from tests.support.load_job import load_job


@pytest.fixture(scope="module")
def job() -> ModuleType:
    return load_job("calibrate")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["calibration.rows=0"], "there is nothing to calibrate with; set calibration.rows (e.g. 200)"),
        (["calibration.rows=-1"], "calibration.rows"),
        (["calibration.gold=/nowhere.csv"], "gold scores /nowhere.csv are not there"),
        (["calibration.rows=9", "data=/nowhere"], "data /nowhere is not there"),
        (["calibration.rows=9", "split=tset"], "split 'tset' is none of train"),
        (["calibration.rows=9", "out=/tmp"], "/tmp is there already"),
        (["calibration.rows=9", "judge.exemplars=/nowhere.parquet"], "exemplars /nowhere.parquet are not there"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    job: ModuleType, mini_data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], settings: list[str], line: str
) -> None:
    given = [f"data={mini_data}", f"out={tmp_path}/out", *settings]
    with pytest.raises(SystemExit) as stopped:
        main(job.CalibrateJob, job.__doc__, job.run, ["--config", "mini", *given])
    assert stopped.value.code == 2
    errors = [text for text in capfd.readouterr().err.splitlines() if text.startswith("error: ")]
    assert len(errors) == 1
    assert line in errors[0]
    assert not Path(tmp_path, "out").exists()


def test_it_prints_a_table_and_leaves_figures_and_a_page(
    job: ModuleType, judge: Judge, mini_data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    truth = pq.read_table(Path(mini_data, "truth.parquet"), columns=["id", "quality"]).rename_columns(["id", "score"])
    pq.write_table(truth.slice(0, 10), tmp_path / "gold.parquet")
    given = [
        f"data={mini_data}",
        f"out={tmp_path}/out",
        "calibration.rows=6",
        f"calibration.gold={tmp_path}/gold.parquet",
    ]
    job.check(judge, load(job.CalibrateJob, "mini", given), ())
    printed = capfd.readouterr().out.splitlines()
    facts = json.loads(Path(tmp_path, "out", "calibration.json").read_text("utf-8"))
    assert printed[0].split() == ["Rows", "with", "gold", "10"]
    titles = ("swapped picture", "blank picture", "sale banner", "instruction in the name")
    lines = [line for line in printed if line.startswith(titles)]
    assert [line.split()[-1] for line in lines] == [
        "passes" if shift["passed"] else "fails" for shift in facts["shifts"]
    ]
    failed = [shift["title"] for shift in facts["shifts"] if not shift["passed"]]
    warnings = [line for line in printed if line.startswith("warning: ")]
    assert [line.split(": ")[1] for line in warnings] == failed
    assert all("the rule: " in line for line in warnings)
    page = Path(tmp_path, "out", "calibration.html")
    assert printed[-1] == f"page  {page}"
    html = page.read_text("utf-8")
    assert html.count("<svg") == 3
    assert html.count("data:image/webp;base64,") == 15  # three rows in five forms
