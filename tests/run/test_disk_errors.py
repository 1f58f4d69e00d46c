"""A full disk, a run folder that is away or a silent bucket is one line wherever it is met."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from p2i_ray.errors import UserError
from p2i_ray.run import disk_errors


@pytest.fixture
def run_dir(tmp_path: Path) -> str:
    (tmp_path / "config.yaml").write_text("{}")
    return str(tmp_path)


def full(path: str | None = None) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def told(error: Exception, run_dir: str) -> str:
    with pytest.raises(UserError) as line, disk_errors.explained(run_dir):
        raise error
    return str(line.value)


def test_a_full_disk_is_told_with_the_file_that_found_no_room(run_dir: str) -> None:
    line = told(full("/data/run/part.parquet"), run_dir)
    assert line == "no room is left on the disk of /data/run/part.parquet; make room and give the same command again"


def test_a_full_disk_of_another_process_is_text_in_another_exception(run_dir: str) -> None:
    wrapped = RuntimeError("ray::MapBatches(_write_batch)()\nOSError: [Errno 28] No space left on device")
    assert told(wrapped, run_dir).startswith(f"no room is left on the disk of {run_dir}; ")
    arrow = RuntimeError("Error writing bytes to file. Detail: [errno 28] No space left on device")
    assert told(arrow, run_dir).startswith("no room is left")


def test_a_line_is_not_lost_to_what_the_full_disk_did_to_its_handling(run_dir: str) -> None:
    with (
        pytest.raises(UserError, match="the checkpoint of step 4 needs 2 GB"),
        disk_errors.explained(run_dir),
    ):
        try:
            raise UserError("the checkpoint of step 4 needs 2 GB")
        finally:
            raise full()


def test_whatever_ends_a_step_while_the_folder_is_away_is_told_as_that(tmp_path: Path) -> None:
    line = told(AssertionError("step score of round 1 has not run"), str(tmp_path / "away"))
    assert "is away; when it is back (is its disk mounted?) give the same command again" in line


def test_a_file_that_is_missed_after_the_folder_is_back_is_told_too(run_dir: str) -> None:
    assert "maybe because its disk was away" in told(FileNotFoundError(2, "No such file", f"{run_dir}/x"), run_dir)


def test_other_exceptions_stay_what_they_are(run_dir: str) -> None:
    for error in (ValueError("3"), FileNotFoundError("/etc/none"), PermissionError(13, "denied"), KeyError(28)):
        with pytest.raises(type(error)) as same, disk_errors.explained(run_dir):
            raise error
        assert same.value is error


def test_a_bucket_that_refuses_requests_is_told_and_never_taken_for_one_whose_folder_is_away() -> None:
    busy = OSError(errno.EBUSY, "Please reduce your request rate.")
    line = told(busy, "memory://shop/run")
    assert line == (
        "the bucket of memory://shop/run doesn't answer (Please reduce your request rate.); "
        "give the same command again when it does"
    )


class SilentBucket(MemoryFileSystem):  # type: ignore[misc]
    protocol = "silent"

    def info(self, path: str, **kwargs: object) -> dict[str, object]:
        raise OSError(errno.EBUSY, "Service Unavailable")


def test_whatever_ends_a_step_while_the_bucket_is_silent_is_told_as_that() -> None:
    fsspec.register_implementation("silent", SilentBucket, clobber=True)
    line = told(AssertionError("step score of round 1 has not run"), "silent://shop/run")
    assert line.startswith(
        "the bucket of silent://shop/run doesn't answer (Service Unavailable); give the same command"
    )
