"""A job's output folder: new, or the job's own unfinished one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2i_ray.errors import UserError
from p2i_ray.run import job_output, lease
from p2i_ray.run.holder import this_process


def test_the_same_job_goes_on_with_what_it_left_and_no_other_touches_it(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    job_output.check(out, "evaluate")
    assert not Path(out).exists()
    with pytest.raises(KeyError), job_output.held(out, "evaluate"):
        Path(out, "part").touch()
        raise KeyError
    assert sorted(path.name for path in Path(out).iterdir()) == ["part", job_output.MARKER]
    with (
        pytest.raises(UserError, match=f"{out} was left unfinished by another job; give another out, or remove it"),
        job_output.held(out, "score"),
    ):
        raise AssertionError
    with job_output.held(out, "evaluate"):
        assert Path(out, "part").exists()
    with (
        pytest.raises(UserError, match=f"{out} is there already; give another out, or remove it"),
        job_output.held(out, "evaluate"),
    ):
        raise AssertionError
    assert sorted(path.name for path in Path(out).iterdir()) == ["part"]


def test_what_a_job_left_unfinished_is_not_read(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    job_output.check_finished(out)
    with (
        pytest.raises(UserError, match=rf"{out} is not finished by the job that writes it \(export\); its command"),
        job_output.held(out, "export"),
    ):
        job_output.check_finished(out)
    with job_output.held(out, "export"):
        pass
    job_output.check_finished(out)
    Path(out, job_output.MARKER).write_text("export of the north shop\nphotos are missing\n")  # somebody's own note
    job_output.check_finished(out)


def test_a_job_that_adds_takes_a_finished_folder_but_no_other_job_s_unfinished_one(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with job_output.held(out, "evaluate"):
        Path(out, "part").touch()
    job_output.check(out, "evaluate", adds=True)
    with job_output.held(out, "evaluate", adds=True):
        Path(out, "more").touch()
    assert sorted(path.name for path in Path(out).iterdir()) == ["more", "part"]
    Path(out, job_output.MARKER).write_text("score\n")
    with pytest.raises(UserError, match=f"{out} was left unfinished by another job"):
        job_output.check(out, "evaluate", adds=True)


def test_an_empty_folder_is_as_good_as_none(tmp_path: Path) -> None:
    with job_output.held(str(tmp_path), "generate"):
        assert {path.name for path in tmp_path.iterdir()} == {job_output.MARKER, lease.FILE}
    assert not list(tmp_path.iterdir())


def test_a_second_process_is_refused_before_and_while_it_works(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with job_output.held(out, "score"):
        with pytest.raises(UserError, match=f"{out} is in use by .*, process {os.getpid()}, since "):
            job_output.check(out, "score")
        with pytest.raises(UserError, match="is in use by"), job_output.held(out, "score"):
            raise AssertionError
    left = Path(out, lease.FILE)
    dead = this_process().model_copy(update={"pid": 2**22 - 1, "owner": "another"})
    left.write_text(dead.model_dump_json(), "utf-8")
    job_output.check(out, "score")
    with job_output.held(out, "score"):
        pass
    assert not list(Path(out).iterdir())


@pytest.mark.parametrize("below", ["", "/sub/sub"])
def test_a_file_in_the_folders_place_is_one_line(tmp_path: Path, below: str) -> None:
    file = tmp_path / "notes"
    file.write_text("mine")
    for act in (job_output.check, lambda out, job: job_output.held(out, job).__enter__()):
        with pytest.raises(UserError, match=f"{file} is (no folder|there already); give another"):
            act(f"{file}{below}", "score")
    with pytest.raises(UserError, match=f"{file} is no folder; give another one than {file}{below}, or remove it"):
        lease.held(f"{file}{below}/{lease.FILE}").__enter__()
    assert file.read_text() == "mine"
