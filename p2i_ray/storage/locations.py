"""Read and write files and folders on a disk or in a bucket, through fsspec.

A location is a local path or a URI (s3://, gs://, memory:// …). A single file is written atomically on all of them;
a folder is not, so its writer marks it as done afterwards (see run/folder.py).

A bucket's console makes an object FOLDER/ where it is told to create a folder; it is no file, and counts for nothing.

All file systems are opened here. They remember no listing: s3fs and gcsfs would for the life of the process, and other
processes write to the same folders. A store that doesn't answer is an error, never an absent file.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import tempfile
from collections.abc import Iterator, Sequence
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
HIDDEN = (".", "__MACOSX")  # files and folders that a system made for itself begin so
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
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    filesystem, path = open_location(location)
    return PyFileSystem(FSSpecHandler(filesystem)), path


def kind(location: str) -> Literal["file", "directory"] | None:
    """What is there; none: nothing. Many of fsspec's own answers are also "no" where a store doesn't answer."""
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


def is_empty(location: str, *besides: str) -> bool:
    """Whether a folder that is there holds nothing, or nothing but files of these names."""
    filesystem, path = open_location(location)
    inside = [found for entry in filesystem.ls(path, detail=False) if (found := str(entry).rstrip("/")) != path]
    return {posixpath.basename(name) for name in inside} <= {*besides}


def files(location: str, suffix: str = "") -> list[str]:
    """The locations of what `names` lists."""
    return [join(location, name) for name in names(location, suffix)]


def names(location: str, suffix: str = "") -> list[str]:
    """The names of files directly in a folder that end in `suffix`, sorted; none if the folder doesn't exist.

    Hidden files are left out: macOS puts a ._NAME beside each file that it copies.
    """
    filesystem, path = open_location(location)
    try:
        entries = filesystem.ls(path, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return []
    inside = [
        name for entry in entries if _is_file(entry) and (name := entry["name"]).rstrip("/") != path
    ]  # not itself
    found = sorted(map(posixpath.basename, inside))
    return [name for name in found if name.endswith(suffix) and not name.startswith(".")]


def _is_file(entry: dict[str, Any]) -> bool:
    """Whether an entry of a listing is a file; fsspec has a link, as in the cache of a model hub, for "other"."""
    return entry["type"] == "file" or (bool(entry.get("islink")) and Path(entry["name"]).is_file())


def files_below(location: str) -> Iterator[str]:
    """The files below a folder, as paths relative to it with /, in the order of the store; hidden ones are left out.

    Links to files are named, links to folders aren't followed.

    Raises:
        OSError: a folder can't be listed.
    """
    filesystem, root = open_location(location)
    if not is_uri(location):
        for folder, folders, names in os.walk(root, onerror=_raise):
            folders[:] = [name for name in folders if not name.startswith(HIDDEN)]
            inside = Path(folder).relative_to(root).as_posix()
            yield from (
                posixpath.normpath(posixpath.join(inside, name)) for name in names if not name.startswith(HIDDEN)
            )
        return
    for found in filesystem.find(root):
        name = str(found).removeprefix(root).lstrip("/")
        if name and not name.endswith("/") and not any(part.startswith(HIDDEN) for part in name.split("/")):
            yield name


def _raise(error: OSError) -> None:
    raise error


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
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
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


def make_folder(location: str) -> None:
    """Create a folder and its parents; object stores have none to create."""
    filesystem, path = open_location(location)
    filesystem.makedirs(path, exist_ok=True)


def put_folder(local: str, location: str, last: Sequence[str] = ()) -> None:
    """Copy a local folder's content to a location.

    Args:
        local: the folder.
        location: of the copy.
        last: names of files directly in it that are copied when all others are there.
    """
    filesystem, path = open_location(location)
    filesystem.makedirs(path, exist_ok=True)
    names = sorted(file.relative_to(local).as_posix() for file in Path(local).rglob("*") if file.is_file())
    if not is_uri(location):
        for folder in {Path(path, name).parent for name in names}:
            folder.mkdir(parents=True, exist_ok=True)
    for some in ([name for name in names if name not in last], [name for name in names if name in last]):
        # Lists on both sides: a single path with * or [ ] in it would be taken for a pattern.
        filesystem.put([str(Path(local, name)) for name in some], [posixpath.join(path, name) for name in some])


@contextmanager
def local_folder(location: str) -> Iterator[str]:
    """Provide a folder as a local path: itself if it is local, else a temporary copy.

    Raises:
        UserError: it doesn't exist.
    """
    if not exists(location):
        raise UserError(f"{location} is not there; check the path")
    if not is_uri(location):
        yield location
        return
    filesystem, path = open_location(location)
    with tempfile.TemporaryDirectory(prefix="p2i_") as copy:
        found = sorted(name for name in filesystem.find(path) if not name.endswith("/"))
        targets = [Path(copy, posixpath.relpath(file, path)) for file in found]
        for folder in {target.parent for target in targets}:
            folder.mkdir(parents=True, exist_ok=True)
        filesystem.get(found, list(map(str, targets)))  # lists, as in put_folder
        yield copy


def sha256(location: str) -> tuple[str, int]:
    """The SHA-256 of a file, hexadecimal, and its size in bytes; a piece at a time is in memory."""
    found, size = hashlib.sha256(), 0
    for piece in read_pieces(location):
        found.update(piece)
        size += len(piece)
    return found.hexdigest(), size


def digest(files: Sequence[str], ends: int | None = None) -> str:
    """A SHA-256 in hex over files: their names, lengths and content.

    Args:
        files: their locations; the order counts.
        ends: number of bytes that are read at the beginning and at the end of each file (none: the whole file).
    """
    total = hashlib.sha256()
    for file in files:
        filesystem, path = open_location(file)
        size = int(filesystem.size(path))
        total.update(f"{posixpath.basename(path)} {size}\n".encode())
        with filesystem.open(path, "rb") as opened:
            if ends is not None and size > 2 * ends:
                total.update(opened.read(ends))
                opened.seek(size - ends)
            while chunk := opened.read(CHUNK_BYTES):
                total.update(chunk)
    return total.hexdigest()


def seed_for(seed: int, *parts: str | int) -> int:
    """A 63-bit seed that is a function of a run's seed and of its purpose (an id, a round), of nothing else."""
    text = "\x1f".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big") >> 1
