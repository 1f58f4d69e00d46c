"""A zip of pictures, read in memory: nothing is written under a name that it gives, and its sizes are counted."""

from __future__ import annotations

import io
import re
import stat
import unicodedata
import zipfile
import zlib

from p2i_ray.config.serve import LimitsConfig
from p2i_ray.serve.edge.errors import APIError, bad_request
from p2i_ray.serve.edge.forms import short
from p2i_ray.storage import zip_names
from p2i_ray.storage.folders import HIDDEN

PART = "archive"  # the form's field
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1
CHUNK_BYTES = 1 << 20
DIRECTORY_BYTES = 1_024  # of the list at a zip's end, an entry
END, END_64 = b"PK\x05\x06", b"PK\x06\x07"  # how the record after this list begins, and the one that zip64 has before
END_BYTES = 22  # of that record, which a comment of at most 65,535 bytes may follow
_HERE = re.compile(r"^(?:\./)+")


class Archive:
    """The files of a zip by their paths; what a system put there for itself is left out.

    Raises:
        APIError: it is no zip, has too many entries, or one that isn't a plain file below its root.
    """

    def __init__(self, content: bytes, limits: LimitsConfig) -> None:
        self._limits = limits
        self._left = limits.max_archive_bytes
        _check_directory(content, DIRECTORY_BYTES * limits.max_archive_entries)
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
            raise _wrong("it is no zip file, or a broken one") from None
        entries = self._zip.infolist()
        if len(entries) > limits.max_archive_entries:
            raise _wrong(f"it has {len(entries)} entries; at most {limits.max_archive_entries}")
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            self._add(entry)

    @property
    def names(self) -> list[str]:
        """The paths of its files, with /."""
        return list(self._entries)

    def read(self, name: str) -> bytes:
        """A file's content.

        Raises:
            APIError: it is broken, or larger than it may be: what is read is counted, not what the archive says.
        """
        entry, content = self._entries[name], bytearray()
        try:
            with self._zip.open(entry) as stream:
                while chunk := stream.read(CHUNK_BYTES):
                    content += chunk
                    self._check(name, len(content))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError):
            raise _wrong(f"{short(name)} in it is broken") from None
        self._left -= len(content)
        return bytes(content)

    def _check(self, name: str, size: int) -> None:
        if size > self._limits.max_bytes:
            raise _wrong(f"{short(name)} has more than {self._limits.max_bytes} bytes")
        if size > self._left:
            raise _wrong(f"its files have more than {self._limits.max_archive_bytes} bytes; send several jobs")

    def _add(self, entry: zipfile.ZipInfo) -> None:
        name = normal(zip_names.decoded(entry.orig_filename, entry.flag_bits))
        steps = name.split("/")
        if name.endswith("/") or any(step.startswith(HIDDEN) and step not in (".", "..") for step in steps):
            return
        if not name or name.startswith("/") or "\0" in name or ":" in steps[0] or ".." in steps:
            raise _wrong(f"{short(name)} doesn't lie below its root; name entries as in photos/cup.png")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise _wrong(f"{short(name)} is no plain file, such as a link; put the file itself there")
        if entry.flag_bits & ENCRYPTED:
            raise _wrong(f"{short(name)} is encrypted; make it without a password")
        if entry.compress_type not in METHODS:
            raise _wrong(f"{short(name)} is compressed in a way that isn't read; use deflate, as zip does")
        if name in self._entries:
            raise _wrong(f"{short(name)} is in it twice; keep one")
        self._entries[name] = entry


def _check_directory(content: bytes, most: int) -> None:
    """Refuse a zip whose list of entries is larger than its reader should hold, before it is read.

    Args:
        content: of the file.
        most: bytes of the list.

    Raises:
        APIError: it is larger, or says so in zip64's way, which no zip of allowed size needs.
    """
    found = {content.rfind(END, max(0, len(content) - END_BYTES - 0xFFFF)), len(content) - END_BYTES}
    for at in (at for at in found if at >= 0 and content[at : at + 4] == END):
        size = int.from_bytes(content[at + 12 : at + 16], "little")
        if size > most or END_64 in content[max(0, at - 20) : at]:
            raise _wrong("its list of entries is too long; put fewer files into it, in a zip without zip64")


def normal(name: str) -> str:
    """A path in one spelling: a Mac writes é as two characters, others as one; Windows has backslashes."""
    return _HERE.sub("", unicodedata.normalize("NFC", name).replace("\\", "/"))


def _wrong(message: str) -> APIError:
    return bad_request(f"archive: {message}", PART)
