"""Files and folders on disks and in buckets: moto's S3, an emulator of Google's storage, fsspec's memory://."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from p2i_ray.errors import UserError
from p2i_ray.storage import folders, locations

if TYPE_CHECKING:
    pass


def elsewhere(location: str) -> tuple[Any, str]:
    """The location for another process, whose writes this one's clients don't notice."""
    filesystem = fsspec.filesystem(
        location.partition("://")[0] if "://" in location else "file", skip_instance_cache=True
    )
    return filesystem, filesystem._strip_protocol(location)


def test_what_is_written_is_read(root: str) -> None:
    path = locations.join(root, "a", "b.txt")
    assert not locations.exists(path)
    locations.write_text(path, "grün")
    locations.write_text(path, "grüner")
    assert locations.read_text(path) == "grüner"
    assert folders.files(locations.join(root, "a")) == [path]
    locations.remove(path)
    locations.remove(path)
    assert not locations.exists(path) and folders.files(locations.join(root, "nowhere")) == []


def test_what_another_process_writes_and_removes_is_seen_at_once(root: str) -> None:
    folder = locations.join(root, "scores")
    places = [locations.join(folder, name) for name in ("a.parquet", "b.parquet", "c.parquet")]
    locations.write_text(places[0], "first")
    assert folders.files(folder) == places[:1]
    for number, place in enumerate(places[1:], 2):
        assert not locations.exists(place)
        there, path = elsewhere(place)
        there.pipe_file(path, b"second")
        assert folders.files(folder) == places[:number]
        assert locations.exists(place) and locations.read_text(place) == "second"
    there, path = elsewhere(places[0])
    there.rm_file(path)
    assert folders.files(folder) == places[1:] and not locations.exists(places[0])
    locations.remove(folder)
    assert folders.files(folder) == [] and locations.kind(folder) is None


def test_arrow_sees_what_another_process_writes(root: str) -> None:
    import pyarrow as pa
    import pyarrow.dataset
    import pyarrow.parquet as pq

    for number in (1, 2):
        there, path = elsewhere(locations.join(root, f"{number}.parquet"))
        content = pa.BufferOutputStream()
        pq.write_table(pa.table({"id": [number]}), content)
        there.makedirs(there._parent(path), exist_ok=True)
        there.pipe_file(path, content.getvalue().to_pybytes())
        filesystem, folder = locations.open_for_arrow(root)
        found = pyarrow.dataset.dataset(folder, filesystem=filesystem).to_table()
        assert sorted(found["id"].to_pylist()) == list(range(1, number + 1))


def test_a_file_a_folder_and_nothing_are_told_apart(root: str) -> None:
    file = locations.join(root, "a", "b.txt")
    locations.write_text(file, "")
    assert [locations.kind(place) for place in (file, locations.join(root, "a"), root)] == [
        "file",
        "directory",
        "directory",
    ]
    assert locations.kind(locations.join(root, "b")) is None
    assert folders.files(file) == []


def test_an_interrupted_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    locations.write_text(path, "old")
    with pytest.raises(TypeError):
        locations.write_bytes(path, "not bytes")  # type: ignore[arg-type]
    assert locations.read_text(path) == "old" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_write_that_finds_no_room_names_its_file(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 24, before[1]))  # a file without room, as on a full disk
    try:
        with pytest.raises(OSError, match=r"part\.parquet'$") as told:
            locations.write_bytes(str(tmp_path / "part.parquet"), bytes((1 << 24) + 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert told.value.filename == str(tmp_path / "part.parquet") and not list(tmp_path.iterdir())


def test_what_lies_in_a_folder_is_found_after_the_folder_moved(root: str) -> None:
    inside = locations.join(root, "a", "b")
    assert locations.relative(inside, root) == "a/b"
    assert locations.resolve("a/b", root) == inside
    for elsewhere in ("s3://bucket/key", "/somewhere/else", f"{root}2/b"):
        assert locations.relative(elsewhere, root) == elsewhere
        assert locations.resolve(elsewhere, root) == elsewhere


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(UserError, match=r"can't open nosuch://x"):
        locations.exists("nosuch://x")


def test_a_pattern_in_a_name_deletes_nobody_elses_files(root: str) -> None:
    for name in ("run-*", "run-1", "run-[1]"):
        locations.write_text(locations.join(root, name, "file"), name)
    locations.remove(locations.join(root, "run-*"))
    locations.remove(locations.join(root, "run-[1]"))
    assert locations.read_text(locations.join(root, "run-1", "file")) == "run-1"
    assert folders.files(locations.join(root, "run-*")) == folders.files(locations.join(root, "run-[1]")) == []


def test_two_colons_in_a_name_are_a_part_of_it(root: str) -> None:
    """As in an id of a shop system that is a file's name."""
    if root.startswith("memory:"):
        pytest.skip("memory:// knows no such names")
    for name in ("mug", "mug::1", "mug::2"):
        locations.write_text(locations.join(root, name), name)
    locations.remove(locations.join(root, "mug::2"))
    assert [locations.read_text(file) for file in folders.files(root)] == ["mug", "mug::1"]


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("file:///tmp/a%20b/", "/tmp/a b"),
        ("file:///tmp/[1]", "/tmp/[1]"),
        ("file://localhost/tmp/x#y", "/tmp/x#y"),
        ("/tmp/a%20b", "/tmp/a%20b"),
    ],
)
def test_what_file_uris_name_is_a_path(given: str, path: str) -> None:
    assert locations.absolute(given) == path and not locations.is_uri(given)
