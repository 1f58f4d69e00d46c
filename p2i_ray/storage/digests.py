"""SHA-256 of files, on a disk or in a bucket."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Sequence

from p2i_ray.storage.locations import CHUNK_BYTES, open_location, read_pieces


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
