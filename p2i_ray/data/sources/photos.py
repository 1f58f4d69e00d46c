"""Open one file of the source folder, and nothing outside it."""

from __future__ import annotations

import errno
import os
import posixpath
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
    return SourceFolder(source).read(file, max_bytes)


def open_file(source: str, file: str) -> BinaryIO:
    """Open a regular file within the source folder; the caller closes it.

    Raises:
        ImageError: as `read_photo`.
    """
    return SourceFolder(source).open(file)


class SourceFolder:
    """The files of one source; for as long as it is used, its subfolders aren't replaced by links.

    Args:
        source: the folder.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._filesystem, self._root = locations.open_location(source)
        self._is_local = isinstance(self._filesystem, LocalFileSystem)
        self._folders: dict[str, Path] = {}  # as files name them -> without links

    def read(self, file: str, max_bytes: int) -> bytes:
        """See `read_photo`."""
        with _as_reasons(self._source), self.open(file) as opened:
            return bytes(opened.read(max_bytes + 1))

    def open(self, file: str) -> BinaryIO:
        """See `open_file`."""
        with _as_reasons(self._source):
            if self._is_local:
                return self._open_local(file)
            return cast("BinaryIO", self._filesystem.open(f"{self._root.rstrip('/')}/{file}", "rb"))

    def _open_local(self, file: str) -> BinaryIO:
        folder, name = posixpath.split(file)
        if name in ("", ".", ".."):
            return _open_regular(self._within(file))
        path = f"{self._folder(folder)}/{name}"
        try:
            return _open_regular(path, os.O_NOFOLLOW)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        return _open_regular(self._within(file))  # it is a link

    def _folder(self, folder: str) -> Path:
        if folder not in self._folders:
            self._folders[folder] = self._within(folder)
        return self._folders[folder]

    def _within(self, path: str) -> Path:
        """A path below the source without links."""
        root = Path(self._root).resolve()
        try:
            found = (root / path).resolve()
        except RuntimeError:  # links in a circle
            raise ImageError("unreadable: its link leads nowhere") from None
        if not found.is_relative_to(root):
            raise ImageError("outside the folder: a link leads out of source")
        return found


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


def _open_regular(path: str | Path, flags: int = 0) -> BinaryIO:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | flags)  # opening a pipe would wait for a writer
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise ImageError(f"unreadable: {'Is a directory' if stat.S_ISDIR(mode) else 'not an ordinary file'}")
    return os.fdopen(handle, "rb")
