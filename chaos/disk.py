"""A small disk for a run's folder, which can be filled, and detached for a while."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

SIZE_MB = 600
CHUNK = b"\0" * (1 << 16)


class RunDisk:
    """`<folder>/present/disk`: a file system in memory where mounting is permitted, else a plain folder.

    Args:
        folder: created if needed.
        mount: whether to mount a file system.
        size_mb: size of that file system, MB.

    Raises:
        OSError: it can't be mounted.
    """

    def __init__(self, folder: Path, mount: bool, size_mb: int = SIZE_MB) -> None:
        self._present, self._away = folder / "present", folder / "away"
        self.root = self._present / "disk"
        self.root.mkdir(parents=True)
        self._mounted = mount
        self._strays = 0
        if mount:
            command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(self.root)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def fill(self) -> None:
        """Fill the disk; call it again to fill what was freed meanwhile."""
        handle = os.open(self.root / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        chunk = CHUNK
        try:
            while chunk:
                try:
                    os.write(handle, chunk)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    chunk = chunk[: len(chunk) // 2]
        finally:
            os.close(handle)

    def free(self) -> None:
        """Remove the filling."""
        (self.root / "filler").unlink(missing_ok=True)

    def detach(self) -> None:
        """Move the folder above the disk away; open files stay open, as on a lazily unmounted disk."""
        self._present.rename(self._away)

    def attach(self) -> None:
        """Bring the disk back. Files that were written in its place meanwhile are moved aside."""
        while True:
            if self._present.exists():
                self._strays += 1
                self._present.rename(self._present.with_name(f"stray-{self._strays}"))
            try:
                self._away.rename(self._present)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise  # else another file has been written there just now

    def strays(self) -> list[str]:
        """The files that were written in the disk's place while it was detached."""
        folders = self._present.parent.glob("stray-*")
        return sorted(
            str(file.relative_to(folder)) for folder in folders for file in folder.rglob("*") if file.is_file()
        )

    def close(self) -> None:
        """Remove the disk with its content."""
        if self._away.exists():
            self.attach()
        if self._mounted:
            subprocess.run(["umount", "--lazy", str(self.root)], check=True)
        for folder in (self._present, *self._present.parent.glob("stray-*")):
            shutil.rmtree(folder)


def can_mount(folder: Path) -> bool:
    """Whether this user may mount a file system."""
    place = folder / "trial"
    try:
        RunDisk(place, mount=True).close()
    except OSError:
        return False
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return True
