"""What lies in folders of disks and buckets, and copies of folders."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from p2i_ray.cluster import preflight
from p2i_ray.errors import UserError
from p2i_ray.run import job_output
from p2i_ray.storage import fingerprints, folders, locations

if TYPE_CHECKING:
    from chaos.bucket import Bucket


def test_files_are_sorted_and_picked_by_ending(root: str) -> None:
    for name in ("c.json", "a.json", "b.txt"):
        locations.write_text(locations.join(root, name), "")
    assert folders.files(root, ".json") == [locations.join(root, "a.json"), locations.join(root, "c.json")]


def test_a_folder_goes_there_and_back(root: str, tmp_path: Path) -> None:
    (tmp_path / "model" / "unet").mkdir(parents=True)
    (tmp_path / "model" / "unet" / "w").write_text("weights")
    folders.put_folder(str(tmp_path / "model"), locations.join(root, "copy"))
    with folders.local_folder(locations.join(root, "copy")) as folder:
        assert Path(folder, "unet", "w").read_text() == "weights"


def test_a_folder_of_a_bucket_s_console_is_a_folder(s3_bucket: Bucket) -> None:
    """An object FOLDER/, which is no file."""
    root = f"{s3_bucket.uri}/{uuid.uuid4().hex} [1]"
    filesystem, path = locations.open_location(root)
    for folder in ("", "a/", "a/b/"):
        filesystem.call_s3("put_object", Bucket=s3_bucket.name, Key=f"{path.partition('/')[2]}/{folder}")
    assert locations.kind(root) == locations.kind(f"{root}/a/b") == "directory"
    assert folders.is_empty(f"{root}/a/b") and not folders.is_empty(root)
    assert folders.names(root) == [] and [*folders.files_below(root)] == []
    job_output.check(f"{root}/a/b", "export")
    locations.write_text(f"{root}/a/c.txt", "c")
    assert folders.names(f"{root}/a") == ["c.txt"] and [*folders.files_below(root)] == ["a/c.txt"]
    assert preflight.witness(root) == (f"{root}/a/c.txt", 1)
    assert [file.name for file in fingerprints.states(root)] == ["a/c.txt"] == [*folders.entries_below(root)]
    assert [*folders.entries(root)] == ["a"] and [*folders.entries(f"{root}/a")] == ["b", "c.txt"]
    with folders.local_folder(root) as copy:
        assert [found.name for found in Path(copy).rglob("*") if found.is_file()] == ["c.txt"]
    locations.remove(root)
    assert locations.kind(root) is None


def test_a_folder_that_is_not_there_is_named(root: str) -> None:
    with (
        pytest.raises(UserError, match="nowhere is not there"),
        folders.local_folder(locations.join(root, "nowhere")),
    ):
        pass


def test_macos_companions_are_no_files(root: str) -> None:
    for name in ("part.parquet", "._part.parquet", ".DS_Store"):
        locations.write_text(locations.join(root, name), "")
    assert folders.files(root) == [locations.join(root, "part.parquet")]


def test_links_to_files_are_files(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "0a1b").write_text("weights")
    snapshot = tmp_path / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to("../../blobs/0a1b")
    (snapshot / "folder.safetensors").symlink_to("../../blobs")
    (snapshot / "gone.safetensors").symlink_to("../../blobs/none")
    assert folders.names(str(snapshot)) == ["model.safetensors"]
