"""Doing something with each file that another step writes, as soon as it is there.

The folder itself is the signal: a file is in it whole or not at all, on a disk and in a bucket.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from p2i_ray.console import logs
from p2i_ray.console.progress import say
from p2i_ray.errors import one_line
from p2i_ray.storage import locations

LOOK_EVERY_S = 1.0


class Work(Protocol):
    """What is done with files; all in one thread."""

    def take(self, file: str) -> None:
        """Begin with a finished file."""

    def finish(self) -> None:
        """Wait until what was begun is done."""

    def stop(self) -> None:
        """Free what is held; always called last."""


@contextmanager
def watch_folder(
    folder: str,
    begin: Callable[[], Work],
    title: str,
    waiting: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Iterator[None]:
    """Within the block, work on each Parquet file that appears in a folder; leaving it waits for the last one.

    When the work fails, a line says so, and the block goes on: whatever isn't done early is done in its turn. When the
    block fails, the work is left as it is.

    Args:
        folder: its location; what is in it now was left by an attempt that died, and is not followed.
        begin: makes the work, in its own thread.
        title: what the work is called in that line.
        waiting: entered when the block has ended, and left when the work has.
    """
    old, over, left = set(locations.files(folder, ".parquet")), threading.Event(), threading.Event()

    def work() -> None:
        try:
            with logs.at(title):
                _follow(folder, old, begin(), over, left)
        except Exception as error:  # it must not take the step beside it along
            say(f"{title} not done early, but in its turn: {one_line(error)}")

    thread = threading.Thread(target=work, name=title, daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        left.set()
        raise
    finally:
        over.set()
    with waiting():
        thread.join()


def _follow(folder: str, seen: set[str], work: Work, over: threading.Event, left: threading.Event) -> None:
    try:
        last = False
        while not last and not left.is_set():
            last = over.is_set()
            for file in locations.files(folder, ".parquet"):
                if file not in seen:
                    seen.add(file)
                    work.take(file)
            if not last:
                over.wait(LOOK_EVERY_S)
        if not left.is_set():
            work.finish()
    finally:
        work.stop()
