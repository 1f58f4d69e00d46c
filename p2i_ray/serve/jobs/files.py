"""The files of a submission by the names that its items use: fields of the form, and paths in its archive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p2i_ray.serve.edge.errors import bad_request
from p2i_ray.serve.edge.forms import short
from p2i_ray.serve.jobs.archive import Archive, normal
from p2i_ray.serve.jobs.table import closest


class SubmittedFiles:
    """Numbers the files in the order in which items name them, and keeps those alone.

    Args:
        form: the form's files.
        archive: of files (none: there is none).
        absent: any name is taken: a quote may come without its files.

    Raises:
        APIError: a name is both a field's and an archive's.

    Attributes:
        inputs: contents, by number.
    """

    def __init__(self, form: Mapping[str, bytes], archive: Archive | None = None, *, absent: bool = False) -> None:
        self._form, self._archive, self._absent = form, archive, absent
        self._paths = frozenset(archive.names if archive else ())
        self._numbers: dict[str, int] = {}
        self.inputs: list[bytes] = []
        for name in form:
            if normal(name) in self._paths:
                raise bad_request(
                    f"{short(name)} is a field of the form and a file of the archive; keep one", "archive"
                )

    def number(self, part: str, name: Any) -> int:
        """The number of a file.

        Args:
            part: image, mask or reference.
            name: as the item has it.

        Raises:
            APIError: there is no such file.
        """
        if not isinstance(name, str):
            raise bad_request(f"{part} names no file of this request", part)
        path = normal(name)
        if name in self._form:
            return self._numbered(name, lambda: self._form[name])
        if self._archive is not None and path in self._paths:
            archive = self._archive
            return self._numbered(path, lambda: archive.read(path))
        if self._absent:
            return 0
        near = f"; the archive has {short(closest(path, self._paths))}" if self._paths else ""
        raise bad_request(f"{part} names no file of this request{near}", part)

    def check_all_named(self) -> None:
        """Refuse fields of the form that no item names."""
        for name in self._form:
            if name not in self._numbers:
                raise bad_request(f"no item names the file {short(name)}; name it or leave it out", short(name))

    @property
    def unnamed(self) -> int:
        """Files of the archive that no item names."""
        return len(self._paths - self._numbers.keys())

    def _numbered(self, name: str, read: Any) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self.inputs)
            self.inputs.append(read())
        return self._numbers[name]
