"""Read the pictures that rows name: files of the source, and those inside zips, tars, Parquet and Arrow files.

A picture inside a container is CONTAINER::WHERE: `a.zip::mugs/1.jpg`, `a.tar::OFFSET+SIZE/1.jpg`,
`a.parquet::ROW GROUP/ROW/image`.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from p2i_ray.data.sources import archives, tables
from p2i_ray.data.sources.photos import SourceFolder
from p2i_ray.data.sources.rows import INSIDE

AT_ONCE = 8  # containers that are held open


class PictureReader:
    """Reads the pictures of one source, one by one; containers stay open until the end of the `with` block.

    Args:
        source: folder that paths are relative to.
        max_bytes: of a file; one byte more is read, so that it is known to be too large.
    """

    def __init__(self, source: str, max_bytes: int) -> None:
        self._folder = SourceFolder(source)
        self._max_bytes = max_bytes
        self._open: dict[str, tuple[Any, ExitStack]] = {}

    def __enter__(self) -> PictureReader:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._open.popitem()[1][1].close()

    def read(self, place: str) -> bytes:
        """A picture's content; empty if the cell of a table is.

        Raises:
            ImageError: no such file, not a regular one, outside the folder, or not readable.
        """
        container, inside, where = place.partition(INSIDE)
        if not inside:
            return self._folder.read(place, self._max_bytes)
        opened = self._container(container)
        if container.lower().endswith(archives.ZIP):
            return archives.read_zip(opened, where, self._max_bytes)
        if container.lower().endswith(archives.TAR):
            return archives.read_tar(opened, where, self._max_bytes)
        cell = opened.cell(where)
        if isinstance(cell, str):  # the table names a file
            return self._folder.read(cell, self._max_bytes)
        return bytes(cell[: self._max_bytes + 1]) if cell else b""

    def _container(self, container: str) -> Any:
        if container not in self._open:
            while len(self._open) >= AT_ONCE:
                self._open.pop(next(iter(self._open)))[1].close()
            stack = ExitStack()
            opened: Any = stack.enter_context(self._folder.open(container))
            if container.lower().endswith(archives.ZIP):
                opened = stack.enter_context(archives.open_zip(opened))
            elif not container.lower().endswith(archives.TAR):
                opened = tables.CellReader(opened, container)
            self._open[container] = (opened, stack)
        return self._open[container][0]


def chunk(place: str) -> str:
    """The key of pictures best read in one go with this one: its archive's or row group's; a file is by itself."""
    container, inside, where = place.partition(INSIDE)
    if not inside:
        return place
    return (
        container if container.lower().endswith((archives.ZIP, archives.TAR)) else f"{container}/{where.split('/')[0]}"
    )


def position(place: str) -> tuple[str, list[int], str]:
    """A picture's place, to read those of one container from front to back."""
    container, _, where = place.partition(INSIDE)
    parts = where.replace("+", "/").replace(tables.OF, "/").split("/")[:3]
    numbers = [int(part) for part in parts if part.isdigit()]
    return container, numbers, where
