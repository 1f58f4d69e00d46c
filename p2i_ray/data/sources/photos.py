"""Open one file of the source folder, and nothing outside it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from fsspec.implementations.local import LocalFileSystem

from p2i_ray.data.images import ImageError
from p2i_ray.storage import locations


def read_photo(source: str, file: str, max_bytes: int) -> bytes:
    """Read a regular file within the source folder, at most one byte more than allowed.

    Raises:
        ImageError: no such file, not a regular one, outside the folder (also through a link), or not readable.
    """
    with _as_reasons(source), open_file(source, file) as opened:
        return bytes(opened.read(max_bytes + 1))


def open_file(source: str, file: str) -> BinaryIO:
    """Open a regular file within the source folder; the caller closes it.

    Raises:
        ImageError: as `read_photo`.
    """
    with _as_reasons(source):
        filesystem, root = locations.open_location(source)
        if isinstance(filesystem, LocalFileSystem):
            return _open_within(Path(root).resolve(), file)
        return cast("BinaryIO", filesystem.open(f"{root.rstrip('/')}/{file}", "rb"))


@contextmanager
def _as_reasons(source: str) -> Iterator[None]:
    """Turn what says that a file can't be read into the reason for which its row is set aside."""
    try:
        yield
    except FileNotFoundError:
        raise ImageError("file missing: it is not in source") from None
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise ImageError(f"unreadable: {error.strerror or error}") from None
    except OSError as error:
        if locations.is_uri(source):
            raise  # the bucket doesn't answer, which says nothing about the photo: stop, don't set the row aside
        raise ImageError(f"unreadable: {error.strerror or error}") from None


def _open_within(root: Path, file: str) -> BinaryIO:
    try:
        path = (root / file).resolve()
    except RuntimeError:  # links in a circle
        raise ImageError("unreadable: its link leads nowhere") from None
    if not path.is_relative_to(root):
        raise ImageError("outside the folder: a link leads out of source")
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a pipe would wait for a writer
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise ImageError(f"unreadable: {'Is a directory' if stat.S_ISDIR(mode) else 'not an ordinary file'}")
    return os.fdopen(handle, "rb")
