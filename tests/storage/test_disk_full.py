"""A full disk is recognised wherever in an exception it is."""

from __future__ import annotations

import errno
import os

import pytest

from p2i_ray.storage.disk_full import disk_full_cause, full_line, full_path, is_disk_full


class WorkerGroupError(RuntimeError):
    """As Ray Train raises it."""

    def __init__(self, failures: dict[int, BaseException]) -> None:
        super().__init__("Training failed due to worker errors")
        self.worker_failures = failures


def full(code: int = errno.ENOSPC, path: str | None = None) -> OSError:
    return OSError(code, os.strerror(code), path)


def raised_from(cause: BaseException) -> BaseException:
    try:
        raise RuntimeError("a step failed") from cause
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        full(),
        full(errno.EDQUOT),
        raised_from(raised_from(full())),
        WorkerGroupError({0: ValueError("another"), 1: raised_from(full())}),
        RuntimeError("ray::MapBatches(_write_batch)()\nOSError: [Errno 28] No space left on device"),
        RuntimeError("Error writing bytes to file. Detail: [errno 28] No space left on device"),
    ],
)
def test_a_full_disk_is_recognised(error: BaseException) -> None:
    assert is_disk_full(error)


@pytest.mark.parametrize(
    "error", [ValueError("28"), KeyError(28), FileNotFoundError(2, "No such file"), RuntimeError()]
)
def test_other_errors_are_not_taken_for_it(error: BaseException) -> None:
    assert not is_disk_full(error)


def test_the_file_is_named_where_it_is_known() -> None:
    cause = disk_full_cause(raised_from(full(path="/data/part.parquet")))
    assert cause is not None and full_path(cause) == "/data/part.parquet"
    assert full_path(full()) is None


@pytest.mark.parametrize("path", ["/data/part.parquet", "/data/it's here/part.parquet"])
def test_the_file_is_named_where_another_process_has_met_the_full_disk(path: str) -> None:
    told = RuntimeError(f"ray::MapBatches(_write_batch)()\nOSError: {full(path=path)}\nwhile it was 'written'")
    assert full_line(told) == f"no room is left on the disk of {path}; make room and give the same command again"


def test_without_a_file_the_line_names_the_place_that_was_written_to_if_it_is_known() -> None:
    assert full_line(full(), "/runs/out").startswith("no room is left on the disk of /runs/out; make room")
    assert full_line(full()).startswith("no room is left on a disk; make room")


def test_exceptions_that_refer_to_each_other_end_the_search() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__context__, two.__context__ = two, one
    assert not is_disk_full(one)
