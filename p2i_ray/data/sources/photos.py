"""Read one file of the source folder, and nothing outside it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from p2i_ray.data.images import ImageError
from p2i_ray.storage import locations


def read_photo(source: str, file: str, max_bytes: int) -> bytes:
    """Read a regular file within the source folder, at most one byte more than allowed.

    Raises:
        ImageError: no such file, not a regular one, outside the folder (also through a link), or not readable.
    """
    filesystem, root = locations.open_location(source)
    on_disk = isinstance(filesystem, LocalFileSystem)
    try:
        if on_disk:
            return _read_within(Path(root).resolve(), file, max_bytes)
        with filesystem.open(f"{root.rstrip('/')}/{file}", "rb") as opened:
            return bytes(opened.read(max_bytes + 1))
    except FileNotFoundError:
        raise ImageError("file missing: it is not in source") from None
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise ImageError(f"unreadable: {error.strerror or error}") from None
    except OSError as error:
        if not on_disk:
            raise  # the bucket doesn't answer, which says nothing about the photo: stop, don't set the row aside
        raise ImageError(f"unreadable: {error.strerror or error}") from None


def _read_within(root: Path, file: str, max_bytes: int) -> bytes:
    try:
        path = (root / file).resolve()
    except RuntimeError:  # links in a circle
        raise ImageError("unreadable: its link leads nowhere") from None
    if not path.is_relative_to(root):
        raise ImageError("outside the folder: a link leads out of source")
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a pipe would wait for a writer
    with os.fdopen(handle, "rb") as opened:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ImageError("unreadable: not an ordinary file")
        return opened.read(max_bytes + 1)
