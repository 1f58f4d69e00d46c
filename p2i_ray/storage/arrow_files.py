"""Files for Arrow by way of fsspec, with the store's own failures."""

from __future__ import annotations

from contextlib import suppress

from pyarrow import PythonFile
from pyarrow.fs import FileInfo, FileSelector, FSSpecHandler


class Handler(FSSpecHandler):  # type: ignore[misc]  # it has no types
    """Arrow's own, less a fault: a store that refuses, or doesn't answer, is no store without the file.

    Arrow's asks first whether it is a file or a folder, and fsspec's answer is "no" whatever the store's failure.
    """

    def open_input_stream(self, path: str) -> PythonFile:
        """The opened file, which is read from its beginning."""
        return PythonFile(self.fs.open(path, mode="rb"), mode="r")

    def open_input_file(self, path: str) -> PythonFile:
        """The opened file, which is read in any order."""
        return PythonFile(self.fs.open(path, mode="rb"), mode="r")

    def get_file_info_selector(self, selector: FileSelector) -> list[FileInfo]:
        """The content of a folder."""
        with suppress(FileNotFoundError, NotADirectoryError):
            self.fs.info(selector.base_dir)
        return list(super().get_file_info_selector(selector))
