"""The command line of every job."""

from __future__ import annotations

import errno

import pytest
from pydantic import Field

from p2i_ray.config import Config
from p2i_ray.console import cli
from p2i_ray.console.cli import main
from p2i_ray.errors import UserError


class Job(Config):
    """A job with one key of its own."""

    out: str = Field(description="folder that the job makes")


def test_the_job_gets_its_settings() -> None:
    seen: list[Job] = []
    main(Job, "doc", seen.append, ["--config", "mini", "out=here", "seed=3"])
    assert (seen[0].out, seen[0].seed) == ("here", 3)


def test_help_lists_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(Job, "What the job does.", print, ["--help"])
    shown = capsys.readouterr().out
    assert stop.value.code == 0
    for line in (
        "What the job does.",
        "out=required",
        "folder that the job makes",
        "idr.gamma=4",
        "train.batch_size=64",
    ):
        assert line in shown


def test_a_mistake_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--config", "mini", "ot=here"], ["--config", "nowhere", "out=x"]):
        with pytest.raises(SystemExit) as stop:
            main(Job, "doc", print, argv)
        shown = capsys.readouterr()
        assert stop.value.code == 2 and shown.err.startswith("error: ") and shown.err.count("\n") == 1


def test_a_users_error_inside_the_job_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    def run(job: Job) -> None:
        raise UserError("data x is not there")

    with pytest.raises(SystemExit) as stop:
        main(Job, "doc", run, ["--config", "mini", "out=x"])
    assert stop.value.code == 2 and capsys.readouterr().err == "error: data x is not there\n"


def test_a_bucket_that_does_not_answer_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def run(job: Job) -> None:
        raise OSError(errno.EBUSY, "Please reduce your request rate.")

    with pytest.raises(SystemExit) as stop:
        main(Job, "doc", run, ["--config", "mini", "out=x"])
    line = "a bucket doesn't answer (Please reduce your request rate.); give the same command again when it does"
    assert stop.value.code == 2 and capsys.readouterr().err == f"error: {line}\n"


def test_a_bucket_that_refuses_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def run(job: Job) -> None:
        raise PermissionError("Access Denied")

    with pytest.raises(SystemExit) as stop:
        main(Job, "doc", run, ["--config", "mini", "out=x"])
    shown = capsys.readouterr().err
    assert stop.value.code == 2 and shown.count("\n") == 1
    assert shown.startswith("error: a bucket refuses what this job needs (PermissionError: Access Denied); give it")


@pytest.mark.parametrize("quoted", [False, True])
def test_a_full_disk_is_one_line(quoted: bool, capsys: pytest.CaptureFixture[str]) -> None:
    def run(job: Job) -> None:
        full = OSError(errno.ENOSPC, "No space left on device", "/runs/out/part.parquet")
        raise RuntimeError(f"ray::MapBatches(_write_batch)()\nOSError: {full}") if quoted else full

    with pytest.raises(SystemExit) as stop:
        main(Job, "doc", run, ["--config", "mini", "out=x"])
    line = "no room is left on the disk of /runs/out/part.parquet; make room and give the same command again"
    assert stop.value.code == 2 and capsys.readouterr().err == f"error: {line}\n"


def test_a_cause_behind_whatever_a_job_failed_with_is_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    found: list[str | None] = [None]

    def run(job: Job) -> None:
        raise UserError("the judge doesn't start")

    cli.look_first(lambda: found[0])
    for cause, code, line in ((None, 2, "the judge doesn't start"), ("Ray ended", 1, "Ray ended")):
        found[0] = cause
        with pytest.raises(SystemExit) as stop:
            main(Job, "doc", run, ["--config", "mini", "out=x"])
        assert stop.value.code == code and capsys.readouterr().err == f"error: {line}\n"
    found[0] = None


def test_a_fault_of_ours_keeps_its_trace() -> None:
    def run(job: Job) -> None:
        raise RuntimeError("ours")

    with pytest.raises(RuntimeError, match="ours"):
        main(Job, "doc", run, ["--config", "mini", "out=x"])


def test_a_users_error_from_a_worker_is_one_line(ray_cluster: None, capsys: pytest.CaptureFixture[str]) -> None:
    import ray

    def fail(row: dict[str, int]) -> dict[str, int]:
        raise UserError("row 0 lacks a name")

    for work in (lambda: ray.get(ray.remote(fail).remote({})), lambda: ray.data.range(1).map(fail).materialize()):
        with pytest.raises(SystemExit):
            main(Job, "doc", lambda job, work=work: work(), ["--config", "mini", "out=x"])
        assert capsys.readouterr().err.splitlines()[-1] == "error: row 0 lacks a name"
