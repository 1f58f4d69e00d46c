"""kill -9 at a given moment."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path


def kill_when(process: subprocess.Popen[bytes], appears: Path, pattern: str = "") -> None:
    """kill -9 the driver as soon as a file or folder is there, or in that folder one whose path fits the pattern."""
    deadline = time.monotonic() + 300
    while not (any(appears.glob(pattern)) if pattern else appears.exists()):
        assert process.poll() is None, f"the job ended before {appears / pattern} was there"
        assert time.monotonic() < deadline
        time.sleep(0.001)  # some moments last a few milliseconds
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
