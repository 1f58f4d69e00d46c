"""What Arrow reads of a store by way of fsspec."""

from __future__ import annotations

import errno
import pickle
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow.fs import FileSelector

from p2i_ray.storage import locations
from p2i_ray.storage.bucket_errors import refused, unanswered


class FailingStore(MemoryFileSystem):  # type: ignore[misc]
    """A store that answers every question about what it has with a failure."""

    protocol = "failing"
    failure: Exception = OSError()

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        raise self.failure

    def _open(self, path: str, **kwargs: Any) -> Any:
        raise self.failure


fsspec.register_implementation("failing", FailingStore)


@pytest.mark.parametrize("way", ["open_input_file", "open_input_stream"])
def test_a_store_that_fails_is_no_absent_file(way: str) -> None:
    filesystem, path = locations.open_for_arrow("failing://bucket/part.parquet")
    assert filesystem is not None
    for failure, told in (
        (OSError(errno.EBUSY, "Please reduce your request rate."), unanswered),
        (PermissionError("Access Denied"), refused),
    ):
        FailingStore.failure = failure
        with pytest.raises(type(failure)) as raised:
            getattr(filesystem, way)(path)
        assert told(raised.value)
        with pytest.raises(type(failure)) as raised:
            filesystem.get_file_info(FileSelector(path, allow_not_found=True))
        assert told(raised.value)


@pytest.mark.parametrize("way", ["open_input_file", "open_input_stream"])
def test_a_file_is_read_and_an_absent_one_is_told(way: str, root: str) -> None:
    locations.write_bytes(f"{root}/part", b"content")
    filesystem, path = locations.open_for_arrow(f"{root}/part")
    if filesystem is None:  # a disk, which is left to Arrow
        return
    sent = pickle.loads(pickle.dumps(filesystem))  # to a worker
    with getattr(sent, way)(path) as file:
        assert file.read() == b"content"
    with pytest.raises(FileNotFoundError):
        getattr(sent, way)(f"{path}-of-another")
