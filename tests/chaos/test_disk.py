"""Full disks, and folders that are away for a while."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from chaos import disk as disks
from chaos.disk import RunDisk


def test_a_folder_is_away_and_comes_back_without_what_was_written_meanwhile(tmp_path: Path) -> None:
    with RunDisk(tmp_path, mount=False) as disk:
        (disk.root / "kept").write_text("before")
        disk.detach()
        assert not disk.root.exists()
        disk.root.mkdir(parents=True)
        (disk.root / "lost").write_text("meanwhile")
        disk.attach()
        assert [file.name for file in disk.root.iterdir()] == ["kept"]
        assert disk.strays() == ["disk/lost"]
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_still_away_at_the_end_is_removed_too(tmp_path: Path) -> None:
    with RunDisk(tmp_path, mount=False) as disk:
        disk.detach()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_full_until_it_is_freed(tmp_path: Path) -> None:
    if not disks.can_mount(tmp_path):
        pytest.skip("mounting is not permitted")
    with RunDisk(tmp_path, mount=True, size_mb=4) as disk:
        (disk.root / "old").write_bytes(b"x" * 100_000)
        disk.fill()
        with pytest.raises(OSError) as full:
            (disk.root / "new").write_bytes(b"x" * 5000)
        assert full.value.errno == errno.ENOSPC
        (disk.root / "old").unlink()
        disk.fill()  # takes what was freed meanwhile
        with pytest.raises(OSError):
            (disk.root / "new").write_bytes(b"x" * 5000)
        disk.free()
        (disk.root / "new").write_bytes(b"x" * 5000)
        disk.detach()
        disk.attach()
        assert (disk.root / "new").stat().st_size == 5000
    assert list(tmp_path.iterdir()) == []
