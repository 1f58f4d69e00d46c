"""A job's output folder: new, or the job's own unfinished one."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.errors import UserError
from p2i_ray.run import job_output


def test_the_same_job_goes_on_with_what_it_left_and_no_other_touches_it(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    job_output.check(out, "evaluate")
    assert not Path(out).exists()
    job_output.claim(out, "evaluate")
    Path(out, "part").touch()
    job_output.claim(out, "evaluate")
    assert Path(out, "part").exists()
    with pytest.raises(UserError, match=f"{out} was left unfinished by another job; give another out, or remove it"):
        job_output.claim(out, "score")
    job_output.finish(out)
    with pytest.raises(UserError, match=f"{out} is there already; give another out, or remove it"):
        job_output.claim(out, "evaluate")
    assert sorted(path.name for path in Path(out).iterdir()) == ["part"]


def test_an_empty_folder_is_as_good_as_none(tmp_path: Path) -> None:
    job_output.claim(str(tmp_path), "generate")
    assert [path.name for path in tmp_path.iterdir()] == [job_output.MARKER]
