"""Files inside zips and tars, read where they lie: nothing is unpacked."""

from __future__ import annotations

import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from p2i_ray.data.errors import ImageError
from p2i_ray.storage import locations

ZIP, TAR = ".zip", ".tar"
BLOCK = tarfile.BLOCKSIZE


class Member(NamedTuple):
    """A file inside an archive."""

    name: str
    where: str  # for `read_tar` or `read_zip`


def zip_members(opened: BinaryIO) -> Iterator[Member]:
    """The files of a zip.

    Raises:
        ImageError: it is none, or it is cut off.
    """
    with open_zip(opened) as archive:
        for info in archive.infolist():
            if not info.is_dir() and not _hidden(info.filename):
                yield Member(posixpath.normpath(info.filename), info.filename)


def open_zip(opened: BinaryIO) -> zipfile.ZipFile:
    """Open a zip.

    Raises:
        ImageError: it is none, or it is cut off.
    """
    try:
        return zipfile.ZipFile(opened)
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise ImageError(f"unreadable: no zip, or one that is cut off ({error})") from None


def read_zip(archive: zipfile.ZipFile, where: str, max_bytes: int) -> bytes:
    """Read a file of a zip, at most one byte more than allowed.

    Raises:
        ImageError: no such file, encrypted, or broken.
    """
    try:
        with archive.open(where) as opened:
            return opened.read(max_bytes + 1)
    except KeyError:
        raise ImageError("file missing: it is not in the zip") from None
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or packed in an unknown way
        raise ImageError(f"unreadable: {error}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise ImageError(f"unreadable: broken in the zip ({error})") from None


def tar_members(opened: BinaryIO) -> Iterator[Member]:
    """The files of a tar, up to the end or to where it is cut off.

    Raises:
        ImageError: after the files that are whole: it is no tar, compressed, or cut off.
    """
    size = opened.seek(0, 2)
    opened.seek(0)
    end = 0  # of what was read
    try:
        with tarfile.open(fileobj=opened, mode="r:") as archive:
            for info in archive:
                end = info.offset_data + -(-info.size // BLOCK) * BLOCK
                if end > size:
                    raise ImageError(f"unreadable: the tar is cut off in {info.name}")
                if info.isreg() and not _hidden(info.name):
                    yield Member(posixpath.normpath(info.name), f"{info.offset_data}+{info.size}/{info.name}")
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise ImageError(f"unreadable: no uncompressed tar, or one that is cut off ({error})") from None
    opened.seek(end)
    if opened.read(BLOCK) != bytes(BLOCK):
        raise ImageError("unreadable: the tar has no end mark, so it is cut off")


def read_tar(opened: BinaryIO, where: str, max_bytes: int) -> bytes:
    """Read a file of a tar, at most one byte more than allowed."""
    start, _, size = where.partition("/")[0].partition("+")
    opened.seek(int(start))
    return opened.read(min(int(size), max_bytes + 1))


def _hidden(name: str) -> bool:
    """Whether a system made the file for itself."""
    parts = posixpath.normpath(name).split("/")
    return any(part.startswith(locations.HIDDEN) and part != ".." for part in parts)
