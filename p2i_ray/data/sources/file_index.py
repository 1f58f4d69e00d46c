"""Find the files of a source that a list names, also where it spells them in an equivalent way.

A list made on another system may have other letters' case, backslashes, %20, folders in front, or an umlaut in one
character where the folder's has it in two.
"""

from __future__ import annotations

import copy
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import unquote, urlsplit

from p2i_ray.data.errors import ImageError
from p2i_ray.data.sources import file_names
from p2i_ray.data.sources.file_names import FileNames

PICTURE = re.compile(r"\.(jpe?g|jfif|png|webp|avif|gif|bmp|tiff?|heic|heif)$", re.I)


class FileIndex:
    """The files of a source by name.

    Args:
        files: their paths below the source, with / -> how they are read: the same, or CONTAINER::WHERE.
        source: the source's own location; its last parts may precede the paths of a list.
        also: other names -> the files that may be meant.
    """

    def __init__(self, files: Mapping[str, str], source: str, also: Mapping[str, Sequence[str]] | None = None) -> None:
        self.files = files if isinstance(files, FileNames) else file_names.listed(files.items())
        self._base = ""
        self._spellings = _Spellings(self.files, also or {})
        self._own = [part for part in _spelling(source).split("/") if part]
        self._used = bytearray(len(self.files))  # whether a row named the file at a place

    def find(self, path: str, prefix: str = "") -> str | None:
        """The way to read the file that a path of a list names; None if there is none.

        It is looked for, in this order: as it is; spelled otherwise (case, NFC or NFD, %20, backslashes); without
        what it has in front (a slash, the source's own folders, `prefix`), unless the source has such a folder; and if
        it has no folders, or is a URL, by its bare name anywhere in the source.

        Args:
            path: from the list.
            prefix: a folder that all paths of the list have in front.

        Raises:
            ImageError: several files have the spelling.
        """
        for name in self._names(path, prefix):
            place = self.files.place(name)
            if place is not None:
                self._used[place] = True
                return self.files.read_as(place, name)
        return None

    def below(self, folder: str) -> FileIndex:
        """The same index for a list whose paths are relative to a folder of the source."""
        other = copy.copy(self)
        other._base = folder
        return other

    def unlisted(self) -> Iterator[str]:
        """The pictures that no row named."""
        return (name for name, used in zip(self.files, self._used, strict=True) if not used and PICTURE.search(name))

    def _names(self, path: str, prefix: str) -> Iterator[str]:
        """Names of a file that a path of a list may mean, in the order in which it is looked for."""
        if self._base:
            own = posixpath.normpath(posixpath.join(self._base, path))
            yield own
            yield from self._only(self._spelled_so(own, ""), path)
        yield path
        yield from self._only(self._spelled_so(path, prefix), path)

    def _only(self, names: list[str], path: str) -> list[str]:
        """The one file, or none, that is spelled like a path."""
        if len(names) > 1:
            both = ", ".join(sorted(names)[:2])
            raise ImageError(f"ambiguous file: {len(names)} files of source are spelled like {path}: {both}")
        return names

    def _spelled_so(self, path: str, prefix: str) -> list[str]:
        if "://" in path:
            return self._spellings.bare(_spelling(posixpath.basename(urlsplit(path).path)))
        spelled = _spelling(path)
        parts = spelled.strip("/").split("/")
        # A file that lacks in a folder which is there is not another one that lies elsewhere.
        shorter = [
            "/".join(parts[count:])
            for count in range(1, len(parts))
            if self._own[-count:] == parts[:count] and not self._spellings.has_folder("/".join(parts[:count]))
        ]
        before = _spelling(prefix) if prefix else ""
        if before and not self._spellings.has_folder(before.strip("/")):
            shorter.append(spelled.removeprefix(f"{before}/"))
        for candidate in (spelled, spelled.lstrip("/"), *shorter):
            if found := self._spellings.whole(candidate):
                return found
        return self._spellings.bare(spelled)  # which has no bare names with folders


class _Spellings:
    """Files by their spelling; nothing is made before a list spells one otherwise.

    Args:
        files: their paths below the source.
        also: other names -> the files that may be meant.
    """

    def __init__(self, files: Iterable[str], also: Mapping[str, Sequence[str]]) -> None:
        self._files = files
        self._also = also
        self._whole: dict[str, str | list[str]] = {}
        self._folders: set[str] | None = None
        self._bare: dict[str, str | list[str]] = {}

    def whole(self, spelling: str) -> list[str]:
        """The files whose whole path has it."""
        if not self._whole:
            for name in self._files:
                _add(self._whole, _spelling(name), name)
            for other, names in self._also.items():
                for name in names:
                    _add(self._whole, _spelling(other), name)
        return _listed(self._whole, spelling)

    def has_folder(self, spelling: str) -> bool:
        """Whether a folder with files below it has it."""
        if self._folders is None:
            self._folders = set()
            for folder in {posixpath.dirname(name) for name in self._files}:
                parts = _spelling(folder).split("/")
                self._folders |= {"/".join(parts[:count]) for count in range(1, len(parts) + 1)}
        return spelling in self._folders

    def bare(self, spelling: str) -> list[str]:
        """The files whose name without folders has it."""
        if not self._bare:
            for name in self._files:
                _add(self._bare, _spelling(posixpath.basename(name)), name)
        return _listed(self._bare, spelling)


def _add(files: dict[str, str | list[str]], spelling: str, name: str) -> None:
    """Put a file to those of its spelling; a list for each would take more memory than all names."""
    found = files.get(spelling)
    if found is None:
        files[name if spelling == name else spelling] = name
    else:
        files[spelling] = [*found, name] if isinstance(found, list) else [found, name]


def _listed(files: dict[str, str | list[str]], spelling: str) -> list[str]:
    found = files.get(spelling, [])
    return [found] if isinstance(found, str) else found


def shared_folder(paths: Iterable[str]) -> str:
    """The folder that all paths have in front, with /; empty if there is none."""
    folders = {
        posixpath.dirname(path.strip().replace("\\", "/")) for path in paths if path.strip() and "://" not in path
    }
    if not folders or "" in folders:
        return ""
    try:
        shared = posixpath.commonpath(folders)
        return "" if ".." in shared.split("/") else shared
    except ValueError:  # some begin with /, some don't
        return ""


def _spelling(path: str) -> str:
    """A path in the one spelling by which paths are compared."""
    path = unquote(path.replace("\\", "/")) if "%" in path else path.replace("\\", "/")
    path = re.sub(r"^[A-Za-z]:/", "/", path.strip())
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", posixpath.normpath(path)).casefold())
