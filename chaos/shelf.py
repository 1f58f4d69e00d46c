"""Where a run's folder stands: a small disk of its own, which can be filled, and taken away for a while."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

SIZE_MB = 600
PIECE = b"\0" * (1 << 16)


class Shelf:
    """`<folder>/shelf/disk`, a file system in memory where mounting is permitted, else a plain folder.

    Args:
        folder: made if needed.
        mount: whether to mount one.
        size_mb: of the one that is mounted.

    Raises:
        OSError: it can't be mounted.
    """

    def __init__(self, folder: Path, mount: bool, size_mb: int = SIZE_MB) -> None:
        self._shelf, self._away = folder / "shelf", folder / "away"
        self.disk = self._shelf / "disk"
        self.disk.mkdir(parents=True)
        self._mounted = mount
        self._strays = 0
        if mount:
            command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(self.disk)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def fill(self) -> None:
        """Write until there is no room; call it again to take what was freed meanwhile."""
        handle = os.open(self.disk / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        piece = PIECE
        try:
            while piece:
                try:
                    os.write(handle, piece)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    piece = piece[: len(piece) // 2]
        finally:
            os.close(handle)

    def free(self) -> None:
        """Make room again."""
        (self.disk / "filler").unlink(missing_ok=True)

    def hide(self) -> None:
        """Take the folder above the disk away; files that are open stay open, as on a disk that is unmounted lazily."""
        self._shelf.rename(self._away)

    def show(self) -> None:
        """Bring it back. What was written in its place meanwhile is put aside, as below a mount point."""
        while True:
            if self._shelf.exists():
                self._strays += 1
                self._shelf.rename(self._shelf.with_name(f"stray-{self._strays}"))
            try:
                self._away.rename(self._shelf)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise  # else somebody has written there again just now

    def strays(self) -> list[str]:
        """The files that were written in its place while it was away."""
        folders = self._shelf.parent.glob("stray-*")
        return sorted(
            str(file.relative_to(folder)) for folder in folders for file in folder.rglob("*") if file.is_file()
        )

    def close(self) -> None:
        """Remove it with all that is on it."""
        if self._away.exists():
            self.show()
        if self._mounted:
            subprocess.run(["umount", "--lazy", str(self.disk)], check=True)
        for folder in (self._shelf, *self._shelf.parent.glob("stray-*")):
            shutil.rmtree(folder)


def can_mount(folder: Path) -> bool:
    """Whether this user may mount a file system."""
    place = folder / "trial"
    try:
        Shelf(place, mount=True).close()
    except OSError:
        return False
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return True
