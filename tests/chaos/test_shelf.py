"""Disks that are full, and folders that are away."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from chaos import shelf as shelves
from chaos.shelf import Shelf


def test_a_folder_is_away_and_comes_back_without_what_was_written_meanwhile(tmp_path: Path) -> None:
    with Shelf(tmp_path, mount=False) as shelf:
        (shelf.disk / "kept").write_text("before")
        shelf.hide()
        assert not shelf.disk.exists()
        shelf.disk.mkdir(parents=True)
        (shelf.disk / "lost").write_text("meanwhile")
        shelf.show()
        assert [file.name for file in shelf.disk.iterdir()] == ["kept"]
        assert shelf.strays() == ["disk/lost"]
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_still_away_at_the_end_is_removed_too(tmp_path: Path) -> None:
    with Shelf(tmp_path, mount=False) as shelf:
        shelf.hide()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_full_until_it_is_freed(tmp_path: Path) -> None:
    if not shelves.can_mount(tmp_path):
        pytest.skip("mounting is not permitted")
    with Shelf(tmp_path, mount=True, size_mb=4) as shelf:
        (shelf.disk / "old").write_bytes(b"x" * 100_000)
        shelf.fill()
        with pytest.raises(OSError) as full:
            (shelf.disk / "new").write_bytes(b"x" * 5000)
        assert full.value.errno == errno.ENOSPC
        (shelf.disk / "old").unlink()
        shelf.fill()  # takes what was freed meanwhile
        with pytest.raises(OSError):
            (shelf.disk / "new").write_bytes(b"x" * 5000)
        shelf.free()
        (shelf.disk / "new").write_bytes(b"x" * 5000)
        shelf.hide()
        shelf.show()
        assert (shelf.disk / "new").stat().st_size == 5000
    assert list(tmp_path.iterdir()) == []
