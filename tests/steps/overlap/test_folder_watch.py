"""Work on files as another step writes them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from p2i_ray.steps.overlap.folder_watch import FolderWatch

DEADLINE_S = 20


class Seen:
    """Work that remembers what was asked of it."""

    def __init__(self, failing: bool = False) -> None:
        self.files: list[str] = []
        self.ends: list[str] = []
        self.taken, self._failing = threading.Event(), failing

    def take(self, file: str) -> None:
        self.files.append(Path(file).name)
        self.taken.set()
        if self._failing:
            raise RuntimeError("no encoder")

    def finish(self) -> None:
        self.ends.append("finished")

    def stop(self) -> None:
        self.ends.append("stopped")


def write(folder: Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"")


def test_files_are_handed_on_while_the_step_runs_and_those_of_a_dead_attempt_are_not(tmp_path: Path) -> None:
    folder, seen = tmp_path / "scores", Seen()
    write(folder, "old.parquet")
    watch = FolderWatch(str(folder), lambda: seen, "round 1/3 · encode")
    write(folder, "a.parquet")
    assert seen.taken.wait(DEADLINE_S)  # before the folder is complete
    write(folder, "b.parquet")
    write(folder, "b.parquet.part")
    watch.complete()
    watch.wait()
    assert (seen.files, seen.ends) == (["a.parquet", "b.parquet"], ["finished", "stopped"])


def test_a_folder_may_come_to_be_only_later(tmp_path: Path) -> None:
    seen = Seen()
    watch = FolderWatch(str(tmp_path / "generated"), lambda: seen, "x")
    write(tmp_path / "generated", "a.parquet")
    watch.complete()
    watch.wait()
    assert seen.files == ["a.parquet"]


def test_work_that_fails_is_told_and_leaves_the_step_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = Seen(failing=True)
    watch = FolderWatch(str(tmp_path), lambda: seen, "round 1/3 · encode")
    write(tmp_path, "a.parquet")
    watch.complete()
    watch.wait()
    assert seen.ends == ["stopped"]
    assert "round 1/3 · encode not done early, but in its turn: RuntimeError: no encoder" in capsys.readouterr().err


def test_work_that_is_abandoned_stops_without_finishing(tmp_path: Path) -> None:
    seen = Seen()
    watch = FolderWatch(str(tmp_path), lambda: seen, "x")
    write(tmp_path, "a.parquet")
    assert seen.taken.wait(DEADLINE_S)
    watch.abandon()
    watch.wait()
    assert seen.ends == ["stopped"]
