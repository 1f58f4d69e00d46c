"""Which files may be read at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2i_ray.data.images import ImageError
from p2i_ray.data.sources.photos import SourceFolder, read_photo


def test_only_ordinary_files_within_the_folder_are_read(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "photos", tmp_path / "secret.jpg"
    (root / "sub").mkdir(parents=True)
    elsewhere.write_bytes(b"secret")
    (root / "sub" / "a.jpg").write_bytes(b"0123456789")
    (root / "inside.jpg").symlink_to(root / "sub" / "a.jpg")
    (root / "out.jpg").symlink_to(elsewhere)
    (root / "up").symlink_to(tmp_path)
    (root / "circle").symlink_to(root / "circle")
    os.mkfifo(root / "pipe.jpg")
    assert read_photo(str(root), "sub/a.jpg", 100) == read_photo(str(root), "inside.jpg", 100) == b"0123456789"
    assert read_photo(f"file://{root}", "sub/a.jpg", 100) == b"0123456789"
    assert read_photo(str(root), "sub/a.jpg", 4) == b"01234"  # one more than allowed: decode says too large
    refused = {
        "out.jpg": "outside the folder",
        "up/secret.jpg": "outside the folder",
        "sub/../../secret.jpg": "outside",
        str(elsewhere): "outside the folder",
        "/sub": "outside the folder",
        "/": "outside the folder",
        "sub/..": "Is a directory",
        "none.jpg": "file missing",
        "sub": "unreadable",
        "pipe.jpg": "not an ordinary file",
        "sub/a.jpg/b": "unreadable",
        "circle": "unreadable",
        "x" * 400: "unreadable",
    }
    for file, reason in refused.items():
        with pytest.raises(ImageError, match=reason):
            read_photo(str(root), file, 100)


def test_folders_that_are_links_are_followed_within_the_source(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.jpg").write_bytes(b"a")
    (root / "also").symlink_to("sub")
    (tmp_path / "link").symlink_to(root)
    folder = SourceFolder(str(tmp_path / "link"))
    assert [folder.read(file, 9) for file in ("also/a.jpg", "sub/../also//a.jpg", "./sub/a.jpg")] == [b"a"] * 3


def test_photos_come_from_buckets_too() -> None:
    import fsspec

    fsspec.filesystem("memory").pipe_file("/bucket/photos/a.jpg", b"0123456789")
    assert read_photo("memory://bucket/photos", "a.jpg", 4) == b"01234"
    with pytest.raises(ImageError, match="file missing"):
        read_photo("memory://bucket/photos", "b.jpg", 4)
    fsspec.filesystem("memory").rm("/bucket", recursive=True)
