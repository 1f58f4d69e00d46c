"""Files inside zips and tars, read where they lie: nothing is unpacked."""

from __future__ import annotations

import errno
import lzma
import posixpath
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from p2i_ray.data.errors import ImageError
from p2i_ray.data.sources import half_pairs
from p2i_ray.storage import folders, zip_names

ZIP, TAR = ".zip", ".tar"
BLOCK = tarfile.BLOCKSIZE
# Whatever zipfile, tarfile and the unpackers below them raise; NotImplementedError is a RuntimeError.
BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(ArithmeticError, LookupError, ValueError, EOFError, RuntimeError),
)


class Member(NamedTuple):
    """A file inside an archive."""

    name: str
    where: str  # for `read_tar` or `read_zip`


def zip_members(opened: BinaryIO) -> Iterator[Member]:
    """The files of a zip.

    Raises:
        ImageError: it is none, or it is cut off.
    """
    with _as_reasons("no zip, or one that is cut off"), open_zip(opened) as archive:
        for info in archive.infolist():
            if not info.is_dir() and not _hidden(info.filename):
                name = zip_names.decoded(info.filename, info.flag_bits)
                yield Member(posixpath.normpath(name), info.filename)  # opened by the name that zipfile has


def open_zip(opened: BinaryIO) -> zipfile.ZipFile:
    """Open a zip.

    Raises:
        ImageError: it is none, or it is cut off.
    """
    with _as_reasons("no zip, or one that is cut off"):
        return zipfile.ZipFile(opened)


def read_zip(archive: zipfile.ZipFile, where: str, max_bytes: int) -> bytes:
    """Read a file of a zip, at most one byte more than allowed.

    Raises:
        ImageError: no such file, encrypted, or broken.
    """
    if where not in archive.NameToInfo:
        raise ImageError("file missing: it is not in the zip")
    with _as_reasons("encrypted, or broken in the zip"), archive.open(where) as opened:
        return opened.read(max_bytes + 1)


def tar_members(opened: BinaryIO) -> Iterator[Member]:
    """The files of a tar, up to the end or to where it is cut off.

    Raises:
        ImageError: after the files that are whole: it is no tar, compressed, or cut off.
    """
    size = opened.seek(0, 2)
    opened.seek(0)
    end = 0  # of what was read
    unreadable = _as_reasons("no uncompressed tar, or one that is cut off")
    with unreadable, tarfile.open(fileobj=opened, mode="r:") as archive:
        for info in archive:
            end = info.offset_data + -(-info.size // BLOCK) * BLOCK
            if end > size:
                raise ImageError(f"unreadable: the tar is cut off in {info.name}")
            if info.isreg() and not _hidden(info.name):
                name = half_pairs.replaced(info.name)  # for messages: a file is read by its place
                yield Member(posixpath.normpath(info.name), f"{info.offset_data}+{info.size}/{name}")
    opened.seek(end)
    if opened.read(BLOCK) != bytes(BLOCK):
        raise ImageError("unreadable: the tar has no end mark, so it is cut off")


def read_tar(opened: BinaryIO, where: str, max_bytes: int) -> bytes:
    """Read a file of a tar, at most one byte more than allowed."""
    start, _, size = where.partition("/")[0].partition("+")
    opened.seek(int(start))
    return opened.read(min(int(size), max_bytes + 1))


@contextmanager
def _as_reasons(what: str) -> Iterator[None]:
    """Turn what the readers of archives raise for broken bytes into an ImageError.

    A disk or bucket that doesn't answer is none; a broken archive may make them seek to where no file can be.
    """
    try:
        yield
    except ImageError:
        raise
    except BROKEN as error:
        raise ImageError(f"unreadable: {what} ({_line(error)})") from None
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):
            raise
        raise ImageError(f"unreadable: {what} ({_line(error)})") from None


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _hidden(name: str) -> bool:
    """Whether a system made the file for itself."""
    parts = posixpath.normpath(name).split("/")
    return any(part.startswith(folders.HIDDEN) and part != ".." for part in parts)
