"""Files and folders on disks and in buckets: moto's S3, an emulator of Google's storage, fsspec's memory://."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.cluster import preflight
from p2i_ray.errors import UserError
from p2i_ray.run import job_output
from p2i_ray.storage import locations

if TYPE_CHECKING:
    from chaos.bucket import Bucket

ODD = " [1] ä*b::c"  # what fsspec would expand, what URIs escape, and what it chains file systems by


@pytest.fixture(params=["disk", "memory", "s3", "gs", *(f"{store}{ODD}" for store in ("disk", "memory", "s3"))])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    store, odd = request.param.removesuffix(ODD), ODD if request.param.endswith(ODD) else ""
    if store == "disk":
        return str(tmp_path / f"root{odd}")
    bucket = "memory:/"
    if store == "s3":
        bucket = request.getfixturevalue("s3_bucket").uri
    elif store == "gs":
        bucket = request.getfixturevalue("gs_bucket")
    return f"{bucket}/{uuid.uuid4().hex}{odd}"


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
    assert locations.files(locations.join(root, "a")) == [path]
    locations.remove(path)
    locations.remove(path)
    assert not locations.exists(path) and locations.files(locations.join(root, "nowhere")) == []


def test_files_are_sorted_and_picked_by_ending(root: str) -> None:
    for name in ("c.json", "a.json", "b.txt"):
        locations.write_text(locations.join(root, name), "")
    assert locations.files(root, ".json") == [locations.join(root, "a.json"), locations.join(root, "c.json")]


def test_what_another_process_writes_and_removes_is_seen_at_once(root: str) -> None:
    folder = locations.join(root, "scores")
    places = [locations.join(folder, name) for name in ("a.parquet", "b.parquet", "c.parquet")]
    locations.write_text(places[0], "first")
    assert locations.files(folder) == places[:1]
    for number, place in enumerate(places[1:], 2):
        assert not locations.exists(place)
        there, path = elsewhere(place)
        there.pipe_file(path, b"second")
        assert locations.files(folder) == places[:number]
        assert locations.exists(place) and locations.read_text(place) == "second"
    there, path = elsewhere(places[0])
    there.rm_file(path)
    assert locations.files(folder) == places[1:] and not locations.exists(places[0])
    locations.remove(folder)
    assert locations.files(folder) == [] and locations.kind(folder) is None


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
    assert locations.files(file) == []


def test_a_folder_goes_there_and_back(root: str, tmp_path: Path) -> None:
    (tmp_path / "model" / "unet").mkdir(parents=True)
    (tmp_path / "model" / "unet" / "w").write_text("weights")
    locations.put_folder(str(tmp_path / "model"), locations.join(root, "copy"))
    with locations.local_folder(locations.join(root, "copy")) as folder:
        assert Path(folder, "unet", "w").read_text() == "weights"


def test_a_folder_of_a_bucket_s_console_is_a_folder(s3_bucket: Bucket) -> None:
    """An object FOLDER/, which is no file."""
    root = f"{s3_bucket.uri}/{uuid.uuid4().hex} [1]"
    filesystem, path = locations.open_location(root)
    for folder in ("", "a/", "a/b/"):
        filesystem.call_s3("put_object", Bucket=s3_bucket.name, Key=f"{path.partition('/')[2]}/{folder}")
    assert locations.kind(root) == locations.kind(f"{root}/a/b") == "directory"
    assert locations.is_empty(f"{root}/a/b") and not locations.is_empty(root)
    assert locations.names(root) == [] and [*locations.files_below(root)] == []
    job_output.check(f"{root}/a/b", "export")
    locations.write_text(f"{root}/a/c.txt", "c")
    assert locations.names(f"{root}/a") == ["c.txt"] and [*locations.files_below(root)] == ["a/c.txt"]
    assert preflight.witness(root) == (f"{root}/a/c.txt", 1)
    with locations.local_folder(root) as copy:
        assert [found.name for found in Path(copy).rglob("*") if found.is_file()] == ["c.txt"]
    locations.remove(root)
    assert locations.kind(root) is None


def test_a_folder_that_is_not_there_is_named(root: str) -> None:
    with (
        pytest.raises(UserError, match="nowhere is not there"),
        locations.local_folder(locations.join(root, "nowhere")),
    ):
        pass


def test_an_interrupted_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    locations.write_text(path, "old")
    with pytest.raises(TypeError):
        locations.write_bytes(path, "not bytes")  # type: ignore[arg-type]
    assert locations.read_text(path) == "old" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_lies_in_a_folder_is_found_after_the_folder_moved(root: str) -> None:
    inside = locations.join(root, "a", "b")
    assert locations.relative(inside, root) == "a/b"
    assert locations.resolve("a/b", root) == inside
    for elsewhere in ("s3://bucket/key", "/somewhere/else", f"{root}2/b"):
        assert locations.relative(elsewhere, root) == elsewhere
        assert locations.resolve(elsewhere, root) == elsewhere


def test_a_digest_depends_on_names_lengths_and_content(root: str) -> None:
    def digest(content: bytes, name: str = "w", ends: int | None = None) -> str:
        locations.write_bytes(locations.join(root, name), content)
        return locations.digest([locations.join(root, name)], ends)

    long = bytes(range(250)) * 9000  # 2.25 MB: more than is read at once
    assert digest(long) == digest(long)
    assert len({digest(long), digest(long[:-1] + b"x"), digest(long[:-1]), digest(long, "v"), digest(long[::-1])}) == 5
    assert locations.digest([]) != digest(b"")
    changed = long[:99_999] + b"x" + long[100_000:]
    assert digest(changed) != digest(long)
    assert digest(changed, ends=1000) == digest(long, ends=1000) != digest(long[:-1] + b"x", ends=1000)


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(UserError, match=r"can't open nosuch://x"):
        locations.exists("nosuch://x")


@given(st.integers(0, 2**40), st.text(), st.text())
def test_seeds_depend_on_every_part(seed: int, one: str, two: str) -> None:
    assert 0 <= locations.seed_for(seed, one, two) < 2**63
    assert locations.seed_for(seed, one, two) == locations.seed_for(seed, one, two)
    assert locations.seed_for(seed, one, two) != locations.seed_for(seed + 1, one, two)
    assert one == two or locations.seed_for(seed, one, two) != locations.seed_for(seed, two, one)


def test_a_known_seed() -> None:
    import hashlib

    first = int.from_bytes(hashlib.sha256(b"7\x1fgenerate\x1fa1").digest()[:8], "big")
    assert locations.seed_for(7, "generate", "a1") == first // 2


def test_a_pattern_in_a_name_deletes_nobody_elses_files(root: str) -> None:
    for name in ("run-*", "run-1", "run-[1]"):
        locations.write_text(locations.join(root, name, "file"), name)
    locations.remove(locations.join(root, "run-*"))
    locations.remove(locations.join(root, "run-[1]"))
    assert locations.read_text(locations.join(root, "run-1", "file")) == "run-1"
    assert locations.files(locations.join(root, "run-*")) == locations.files(locations.join(root, "run-[1]")) == []


def test_two_colons_in_a_name_are_a_part_of_it(root: str) -> None:
    """As in an id of a shop system that is a file's name."""
    if root.startswith("memory:"):
        pytest.skip("memory:// knows no such names")
    for name in ("mug", "mug::1", "mug::2"):
        locations.write_text(locations.join(root, name), name)
    locations.remove(locations.join(root, "mug::2"))
    assert [locations.read_text(file) for file in locations.files(root)] == ["mug", "mug::1"]


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


def test_macos_companions_are_no_files(root: str) -> None:
    for name in ("part.parquet", "._part.parquet", ".DS_Store"):
        locations.write_text(locations.join(root, name), "")
    assert locations.files(root) == [locations.join(root, "part.parquet")]


def test_links_to_files_are_files(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "0a1b").write_text("weights")
    snapshot = tmp_path / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to("../../blobs/0a1b")
    (snapshot / "folder.safetensors").symlink_to("../../blobs")
    (snapshot / "gone.safetensors").symlink_to("../../blobs/none")
    assert locations.names(str(snapshot)) == ["model.safetensors"]
