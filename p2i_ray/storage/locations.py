"""Locations of files and folders, on a disk or in a bucket, and reading and writing files, through fsspec.

A location is a local path or a URI (s3://, gs://, memory:// …). A single file is written atomically on all of them;
a folder is not, so its writer marks it as done afterwards (see run/folder.py).

All file systems are opened here. They remember no listing: s3fs and gcsfs would for the life of the process, and other
processes write to the same folders. A store that doesn't answer is an error, never an absent file.
"""

from __future__ import annotations

import os
import posixpath
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

import fsspec

from p2i_ray.errors import UserError

if TYPE_CHECKING:
    import pyarrow.fs

CHUNK_BYTES = 1 << 20  # read at once
FILE = "file://"
GLOB = re.compile(r"[*?\[]")  # what fsspec expands in paths


def is_uri(location: str) -> bool:
    """Whether the location names a protocol, as in s3://bucket/key. What file:// names is a local path."""
    return "://" in location and not location.startswith(FILE)


def absolute(location: str) -> str:
    """A local path made absolute (workers have other working directories); a URI as it is, less a final slash."""
    return location.rstrip("/") if is_uri(location) else str(Path(local_path(location)).expanduser().resolve())


def local_path(location: str) -> str:
    """The path that a file:// URI names; any other location as it is."""
    return unquote(urlsplit(location, allow_fragments=False).path) if location.startswith(FILE) else location


def join(location: str, *parts: str) -> str:
    """The location of something below another."""
    return posixpath.join(location, *parts) if is_uri(location) else str(Path(local_path(location), *parts))


def relative(location: str, folder: str) -> str:
    """A location below a folder as seen from the folder, which may then be moved; any other as it is."""
    return location.removeprefix(f"{folder.rstrip('/')}/")


def resolve(location: str, folder: str) -> str:
    """The inverse of `relative`: the location that it was given."""
    return location if is_uri(location) or Path(location).is_absolute() else join(folder, location)


def open_location(location: str) -> tuple[Any, str]:
    """The fsspec filesystem of a location, which asks the store every time, and the location as it spells it.

    Raises:
        UserError: nothing here can open such a URI.
    """
    place = local_path(location)
    protocol = place.partition("://")[0] if is_uri(place) else "file"
    try:  # not `url_to_fs`: of a::b it would open a, and others' files would be read, overwritten and deleted
        store = fsspec.get_filesystem_class(protocol)
        filesystem = fsspec.filesystem(protocol, use_listings_cache=False, **store._get_kwargs_from_urls(place))
    except (ValueError, ImportError) as error:
        raise UserError(f"can't open {location}: {error}") from None
    return filesystem, str(store._strip_protocol(place))


def open_for_arrow(location: str) -> tuple[pyarrow.fs.FileSystem | None, str]:
    """The same for pyarrow, Ray Data and Ray Train; a local path is left to them, with None.

    Arrow's own clients of buckets would look for credentials and endpoints in other places than the rest of a run.
    """
    if not is_uri(location):
        return None, local_path(location)
    from pyarrow.fs import PyFileSystem

    from p2i_ray.storage.arrow_files import Handler

    filesystem, path = open_location(location)
    return PyFileSystem(Handler(filesystem)), path


def kind(location: str) -> Literal["file", "directory"] | None:
    """The kind of what is there; none: nothing. Many of fsspec's answers are also "no" where a store doesn't answer."""
    filesystem, path = open_location(location)
    if not is_uri(location):
        return "directory" if filesystem.isdir(path) else "file" if filesystem.exists(path) else None
    try:
        return "directory" if filesystem.info(path)["type"] == "directory" else "file"
    except (FileNotFoundError, NotADirectoryError):
        return None


def exists(location: str) -> bool:
    """Whether a file or a folder is there."""
    return kind(location) is not None


def read_bytes(location: str) -> bytes:
    """A file's content."""
    filesystem, path = open_location(location)
    return bytes(filesystem.cat_file(path))


def read_pieces(location: str) -> Iterator[bytes]:
    """A file's content in pieces."""
    filesystem, path = open_location(location)
    with filesystem.open(path, "rb") as opened:
        while piece := opened.read(CHUNK_BYTES):
            yield piece


def read_text(location: str) -> str:
    """A UTF-8 file's content."""
    return read_bytes(location).decode("utf-8")


def write_bytes(location: str, content: bytes | mmap) -> None:
    """Write a file atomically: a reader finds the old content or the new, never a part."""
    filesystem, path = open_location(location)
    if is_uri(location):
        filesystem.pipe_file(path, content[:])  # object stores show an object when it is complete
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(target, content) as temporary:
        temporary.replace(target)


@contextmanager
def written_beside(target: Path, content: bytes | mmap) -> Iterator[Path]:
    """Provide a file with this content, on the disk for good, in the target's folder; what is left of it is removed."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:  # which names no file
            raise OSError(error.errno, error.strerror, str(target)) from error
        temporary.chmod(0o644)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def write_text(location: str, content: str) -> None:
    """`write_bytes` of UTF-8."""
    write_bytes(location, content.encode("utf-8"))


def remove(location: str) -> None:
    """Delete a file, or a folder with its content; nothing happens if it doesn't exist."""
    if not exists(location):
        return
    filesystem, path = open_location(location)
    if not is_uri(location) or not GLOB.search(path):
        filesystem.rm(path, recursive=True)
        return
    for file in filesystem.find(path):  # `rm` would take * and [ ] in a name for a pattern, and delete others' files
        filesystem.rm_file(file)
