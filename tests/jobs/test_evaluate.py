"""jobs/evaluate.py: what it says about mistakes, before anything is painted."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from p2i_ray.console.cli import main
from tests.support.load_job import load_job


@pytest.fixture(scope="module")
def job() -> ModuleType:
    return load_job("evaluate")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["methods=fid,clip_c"], "unknown metric 'clip_c'; there are fid, clip_c_i, clip_c_b"),
        (["methods=,"], "no metric is asked for"),
        (["model=/nowhere"], "model /nowhere is not there"),
        (["data=/nowhere"], "data /nowhere is not there"),
        (["split=tset"], "split 'tset' is none of train"),
        (["out=/tmp"], "/tmp is there already"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    job: ModuleType, mini_data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], settings: list[str], line: str
) -> None:
    given = [f"data={mini_data}", f"model={mini_data}", f"out={tmp_path}/out", *settings]
    with pytest.raises(SystemExit) as stopped:
        main(job.EvaluateJob, job.__doc__, job.run, ["--config", "mini", *given])
    assert stopped.value.code == 2
    errors = [text for text in capfd.readouterr().err.splitlines() if text.startswith("error: ")]
    assert len(errors) == 1
    assert line in errors[0]
    assert not Path(tmp_path, "out").exists()
