"""Work on each file that a step writes, as soon as the file is there.

The folder itself is the signal: a file is in it whole or not at all, on a disk and in a bucket.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from p2i_ray.console import logs
from p2i_ray.console.progress import say
from p2i_ray.errors import one_line
from p2i_ray.steps.overlap.background import in_background
from p2i_ray.storage import folders

INTERVAL_S = 1.0  # between two listings


class FileWork(Protocol):
    """Work on the files; all in one thread."""

    def take(self, file: str) -> None:
        """Begin with a finished file."""

    def finish(self) -> None:
        """Wait until what was begun is done."""

    def stop(self) -> None:
        """Free what is held; always called last."""


class FolderWatch:
    """Hands each Parquet file that appears in a folder on to some work, until the folder is complete.

    When the work fails, a line says so, and nothing else happens: whatever isn't done early is done in its turn.

    Args:
        folder: its location; what is in it now was left by an attempt that died, and is not looked at.
        begin: makes the work, in the watch's own thread.
        title: what the work is called in messages.
        recording: entered by that thread for as long as it works.
    """

    def __init__(
        self,
        folder: str,
        begin: Callable[[], FileWork],
        title: str,
        recording: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._folder, self._begin, self._title, self._recording = folder, begin, title, recording
        self._seen = set(folders.files(folder, ".parquet"))
        self._complete, self._abandoned = threading.Event(), threading.Event()
        self._working = in_background(self._work, title)

    def complete(self) -> None:
        """Say that no more files will come."""
        self._complete.set()

    def abandon(self) -> None:
        """Say that the work is not needed any more; it stops soon, and nobody waits for it."""
        self._abandoned.set()
        self._complete.set()

    def wait(self) -> None:
        """Return when the work is done with the last file, or has failed."""
        self._working.result()

    def _work(self) -> None:
        try:
            with self._recording(), logs.at(self._title):
                self._follow(self._begin())
        except Exception as error:  # it must not take along the step that writes the files
            say(f"{self._title} not done early, but in its turn: {one_line(error)}")

    def _follow(self, work: FileWork) -> None:
        try:
            last = False
            while not last and not self._abandoned.is_set():
                last = self._complete.is_set()
                for file in folders.files(self._folder, ".parquet"):
                    if file not in self._seen:
                        self._seen.add(file)
                        work.take(file)
                if not last:
                    self._complete.wait(INTERVAL_S)
            if not self._abandoned.is_set():
                work.finish()
        finally:
            work.stop()
