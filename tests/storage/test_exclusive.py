"""A file that is created only where there is none."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from p2i_ray.storage import exclusive, locations


class Older(MemoryFileSystem):  # type: ignore[misc]
    """A store whose client is from before there was a mode."""

    protocol = "older"

    def pipe_file(self, path: str, value: bytes) -> None:
        """Write."""


class Curt(MemoryFileSystem):  # type: ignore[misc]
    """A store that refuses without saying what."""

    protocol = "curt"
    store: ClassVar[dict[str, Any]] = {}

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        if mode == "create":
            raise OSError(errno.EINVAL, "At least one of the pre-conditions you specified did not hold")
        super().pipe_file(path, value)


fsspec.register_implementation("older", Older, clobber=True)
fsspec.register_implementation("curt", Curt, clobber=True)


@pytest.mark.parametrize("place", ["disk", "memory://exclusive/file", "file"])
def test_the_second_does_not_write(place: str, tmp_path: Path) -> None:
    location = {"disk": f"{tmp_path}/file", "file": f"file://{tmp_path}/file"}.get(place, place)
    assert exclusive.create(location, b"first") and not exclusive.create(location, b"second")
    assert exclusive.is_honoured(location, b"third") and locations.read_bytes(location) == b"first"
    locations.remove(location)
    assert not list(tmp_path.iterdir())  # no temporary file is left


def test_a_folder_that_is_away_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        exclusive.create(f"{tmp_path}/away/file", b"content")
    assert not list(tmp_path.iterdir())


def test_a_client_that_can_not_do_it_says_so() -> None:
    with pytest.raises(NotImplementedError):
        exclusive.create("older://exclusive/file", b"content")


def test_a_refusal_without_a_name_counts_where_the_file_is_there() -> None:
    with pytest.raises(OSError, match="pre-conditions"):
        exclusive.create("curt://exclusive/file", b"second")
    locations.write_bytes("curt://exclusive/file", b"first")
    assert not exclusive.create("curt://exclusive/file", b"second")
