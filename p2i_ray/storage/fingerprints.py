"""Fingerprints of files and folders: equal where names and content are equal, wherever they lie.

A local file's content is read once and remembered with what the filesystem says of the file (size, times, inode), so
that it is read again only when that has changed. An object store's own checksum is taken where it has one.

Hidden files (also macOS's ._*) and files that nothing here ever loads (pickles, cards, licences) don't count.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

from p2i_ray.errors import UserError
from p2i_ray.storage import digests, folders, locations

IGNORED = (".bin", ".ckpt", ".pt", ".pth", ".onnx", ".msgpack", ".h5", ".gguf", ".md", ".gitattributes")
IGNORED_NAMES = ("LICENSE", "LICENSE.txt", "NOTICE")
CHECKSUMS = ("ETag", "etag", "md5Hash", "content_md5")  # as S3, GCS and Azure call theirs
ABSENT = "none"  # where a setting names nothing

Remembered = MutableMapping[str, tuple[str, str]]  # location -> what its store says of the file, and its SHA-256


class FileState(NamedTuple):
    """A file as its store describes it, without its content."""

    name: str  # below the folder; its own where the location is a file
    location: str
    size: int  # bytes
    signature: str  # another one whenever the content may be another
    checksum: str | None  # the store's; none: it keeps none


def states(location: str) -> list[FileState]:
    """The files that a fingerprint is of, sorted by name.

    Raises:
        UserError: nothing is there.
    """
    kind = locations.kind(location)
    if kind is None:
        raise UserError(f"{location} is not there; check the path")
    if not locations.is_uri(location):
        local = Path(location)
        return [_local_state(local, local.name)] if local.is_file() else list(_local_states(local))
    filesystem, path = locations.open_location(location)
    if kind == "file":
        return [_state(location, posixpath.basename(path), filesystem.info(path))]
    return [
        _state(locations.join(location, name), name, info)
        for name, info in folders.entries_below(location).items()
        if all(map(_counts, name.split("/")))
    ]


def signature(found: list[FileState]) -> str:
    """A digest of the stores' facts about files; cheap to compare."""
    return _digest("\n".join(f"{file.name} {file.size} {file.signature}" for file in found))


def fingerprint(found: list[FileState], remembered: Remembered, by_content: bool = False) -> str:
    """The fingerprint of files.

    Args:
        found: from `states`.
        remembered: content that was read before; what is read now is added.
        by_content: read also what has a checksum of its store.

    Returns:
        "content-" or "store-" and a digest: of the content, or of checksums that only this store gives. The two kinds
        can't be compared.
    """
    if by_content or any(file.checksum is None for file in found):
        return f"content-{_digest(*(f'{file.name} {file.size} {_sha256(file, remembered)}' for file in found))}"
    return f"store-{_digest(*(f'{file.name} {file.size} {file.checksum}' for file in found))}"


def same(recorded: str, now: str, found: list[FileState], remembered: Remembered) -> bool:
    """Whether files have a recorded fingerprint; content is read where only that can tell.

    Args:
        recorded: the fingerprint that they had.
        now: their fingerprint.
        found: from `states`.
        remembered: as of `fingerprint`.
    """
    if recorded.startswith("content-") and now.startswith("store-"):  # they were on a disk, and are in a bucket
        now = fingerprint(found, remembered, by_content=True)
    return recorded == now


def _local_states(root: Path) -> Iterator[FileState]:
    """The files below a folder, through links."""
    for folder, inside, files in os.walk(root, followlinks=True, onerror=_raise):
        inside[:] = sorted(filter(_counts, inside))  # which os.walk goes on with
        for file in sorted(filter(_counts, files)):
            path = Path(folder, file)
            yield _local_state(path, path.relative_to(root).as_posix())


def _local_state(path: Path, name: str) -> FileState:
    found = path.stat()
    marks = f"{found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"
    return FileState(name, str(path), size=found.st_size, signature=marks, checksum=None)


def _raise(error: OSError) -> None:
    raise error


def _state(location: str, name: str, info: dict[str, Any]) -> FileState:
    checksum = next((str(info[key]).strip('"') for key in CHECKSUMS if info.get(key)), None)
    moments = " ".join(str(info[key]) for key in ("mtime", "created", "LastModified", "last_modified") if key in info)
    return FileState(name, location, size=int(info["size"]), signature=checksum or moments, checksum=checksum)


def _sha256(file: FileState, remembered: Remembered) -> str:
    marks = f"{file.size} {file.signature}"
    known = remembered.get(file.location)
    if known and known[0] == marks:
        return known[1]
    total, _ = digests.sha256(file.location)
    remembered[file.location] = (marks, total)
    return total


def _counts(name: str) -> bool:
    return not name.startswith(".") and not name.endswith(IGNORED) and name not in IGNORED_NAMES


def _digest(*lines: str) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:32]
