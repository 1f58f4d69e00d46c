"""A driver's record of itself, as another process reads it in the run folder."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from p2i_ray.errors import UserError
from p2i_ray.run.attempt import Attempt
from p2i_ray.run.attempt_record import AttemptRecord, read


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def only(run_dir: str) -> AttemptRecord:
    (record,) = read(run_dir)
    return record


def test_others_see_what_it_does_while_it_works(tmp_path: Path) -> None:
    run_dir = str(tmp_path)
    with Attempt(run_dir, heartbeat_s=0.2) as attempt, attempt.span("step", 2, "train"):
        with attempt.working(100, "steps", images=8) as progress:
            progress(10)
            progress(15)
            until(lambda: read(run_dir) and only(run_dir).now and only(run_dir).now.done == 25)
        record = only(run_dir)
        assert record.now and (record.now.round, record.now.step, record.now.total) == (2, "train", 100)
        assert (record.now.unit, record.now.images) == ("steps", 8)
        assert record.ended is None and record.outcome is None and record.spans[0].ended is None
        seen = record.seen
        until(lambda: only(run_dir).seen > seen)  # a sign of life without any change
    record = only(run_dir)
    assert record.outcome == "done" and record.now is None
    assert record.began <= record.spans[0].began <= (record.spans[0].ended or 0) <= (record.ended or 0)


def test_it_says_why_it_stopped(tmp_path: Path) -> None:
    def fail(error: BaseException, folder: str) -> str | None:
        with pytest.raises(type(error)), Attempt(folder), Attempt(folder).span("step", 1, "train"):
            raise error
        return only(folder).outcome

    crash = ZeroDivisionError("division by zero\nand a second line")
    crash.add_note("round 1/3 · train")
    assert fail(crash, f"{tmp_path}/a") == "stopped: round 1/3 · train: ZeroDivisionError: division by zero"
    assert fail(UserError("round 1/3 · train: no rows"), f"{tmp_path}/b") == "stopped: round 1/3 · train: no rows"
    assert fail(KeyboardInterrupt(), f"{tmp_path}/c") == "stopped: interrupted"


def test_starts_and_work_ahead_of_time_are_recorded_from_any_thread(tmp_path: Path) -> None:
    with Attempt(str(tmp_path)) as attempt:
        with attempt.starting("Ray"):
            pass
        with attempt.span("step", 1, "train"):

            def ahead() -> None:
                with attempt.span("ahead", 2, "encode"):
                    pass

            threads = [threading.Thread(target=ahead) for _ in range(8)]
            for thread in threads:
                thread.start()
            with attempt.starting("judge"):
                pass
            for thread in threads:
                thread.join()
    spans = only(str(tmp_path)).spans
    found = [(span.kind, span.round, span.name) for span in spans if span.kind != "ahead"]
    assert found == [("start", 0, "Ray"), ("step", 1, "train"), ("start", 1, "judge")]
    assert sum(span.kind == "ahead" for span in spans) == 8 and all(span.ended for span in spans)


def test_it_works_in_a_bucket() -> None:
    with Attempt("memory://runs/first") as attempt, attempt.span("step", 0, "generate"):
        pass
    assert only("memory://runs/first").spans[0].name == "generate"
    fsspec.filesystem("memory").rm("/runs", recursive=True)


def test_a_folder_that_can_not_be_written_is_told_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "attempts").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING), Attempt(str(tmp_path), heartbeat_s=0.1) as attempt:
        for number in range(3):
            with attempt.span("step", number, "score"):
                pass
            time.sleep(1.2)  # more than one record
        assert len(attempt.record().spans) == 3
    assert len([line for line in caplog.messages if "can't write" in line]) == 1


class SlowBucket(MemoryFileSystem):  # type: ignore[misc]
    """A bucket that takes an object only when it is let."""

    free: ClassVar[threading.Event] = threading.Event()

    protocol = "slow"
    store: ClassVar[dict[str, object]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    def pipe_file(self, path: str, value: bytes, **options: object) -> None:
        assert self.free.wait(60)
        super().pipe_file(path, value, **options)


def test_a_slow_bucket_delays_the_record_and_not_the_run() -> None:
    fsspec.register_implementation("slow", SlowBucket, clobber=True)
    with Attempt("slow://runs/first", heartbeat_s=0.1) as attempt:
        for number in range(50):
            with attempt.span("step", number, "score"), attempt.working(10) as progress:
                progress(10)
        assert not SlowBucket.store  # the run came this far without a record
        SlowBucket.free.set()
    assert len(only("slow://runs/first").spans) == 50 and only("slow://runs/first").outcome == "done"


def test_outside_of_its_context_it_counts_and_writes_nothing(tmp_path: Path) -> None:
    attempt = Attempt(str(tmp_path))
    with attempt.span("step", 1, "score"), attempt.working(3) as progress:
        progress(3)
    assert attempt.record().spans[0].ended and attempt.account() is None
    assert list(tmp_path.iterdir()) == []


def test_the_account_is_of_all_attempts(tmp_path: Path) -> None:
    for _ in range(2):
        with Attempt(str(tmp_path)) as attempt, attempt.span("step", 1, "score"):
            pass
    account = attempt.account()
    assert account and account.attempts == 2 and 0 < account.driver_s < account.wall_s
