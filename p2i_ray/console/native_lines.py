"""Lines that compiled libraries write to standard error by themselves, which no logging setting reaches."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2  # the file descriptor, whatever sys.stderr is


@contextmanager
def without(text: bytes) -> Iterator[None]:
    """Drop the lines on this process's standard error that hold `text`; all others pass as they are."""
    sys.stderr.flush()
    kept = os.dup(STDERR)
    reading, writing = os.pipe()
    os.dup2(writing, STDERR)
    os.close(writing)
    # A process that was started meanwhile may hold the pipe for longer, and must find a reader.
    thread = threading.Thread(target=_pass_on, args=(reading, kept, text), name="standard error", daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, STDERR)
        thread.join(timeout=1)


def _pass_on(reading: int, target: int, text: bytes) -> None:
    with os.fdopen(reading, "rb") as lines, os.fdopen(target, "wb", buffering=0) as out:
        for line in lines:
            if text not in line:
                out.write(line)
