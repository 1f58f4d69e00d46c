"""Fingerprints: of names and content, not of places; content is read once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import fsspec
import pytest

from p2i_ray.errors import UserError
from p2i_ray.storage import fingerprints
from p2i_ray.storage.fingerprints import FileState, Remembered


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "a model [1] ä"
    (made / "unet").mkdir(parents=True)
    (made / "unet" / "weights.safetensors").write_bytes(b"0" * 3000)
    (made / "config.json").write_text("{}")
    return made


def of(location: object, remembered: Remembered | None = None) -> str:
    return fingerprints.fingerprint(fingerprints.states(str(location)), {} if remembered is None else remembered)


def test_a_copy_at_another_place_and_time_is_the_same(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "moved", copy_function=shutil.copyfile)
    os.utime(copy / "config.json", (1, 1))
    (tmp_path / "link").symlink_to(folder)
    assert of(folder) == of(copy) == of(f"{folder}/") == of(tmp_path / "link")


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "config.json").write_text("[]"),  # as long as before
        lambda folder: (folder / "config.json").rename(folder / "other.json"),
        lambda folder: (folder / "unet" / "more.json").write_text(""),
        lambda folder: (folder / "unet" / "weights.safetensors").write_bytes(b"0" * 1500 + b"1" + b"0" * 1499),
    ],
)
def test_other_names_or_content_are_another(folder: Path, change: object) -> None:
    remembered: Remembered = {}
    before = of(folder, remembered)
    change(folder)  # type: ignore[operator]
    assert of(folder, remembered) != before


def test_what_is_never_loaded_does_not_count(folder: Path) -> None:
    before = of(folder)
    for name in ("._config.json", ".DS_Store", "README.md", "pytorch_model.bin", ".cache/x.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    assert of(folder) == before


def test_content_is_read_again_only_when_the_file_was_touched(folder: Path) -> None:
    remembered: Remembered = {}
    before = of(folder, remembered)
    told = {key: (marks, "another digest") for key, (marks, _) in remembered.items()}
    assert of(folder, dict(told)) != before  # what is remembered is believed
    replaced = folder / "new"
    replaced.write_text("{}")
    os.utime(replaced, ns=((folder / "config.json").stat().st_mtime_ns,) * 2)
    replaced.replace(folder / "config.json")  # of the same size and time
    of(folder, told)
    assert told[str(folder / "config.json")][1] == remembered[str(folder / "config.json")][1]
    assert told[str(folder / "unet" / "weights.safetensors")][1] == "another digest"


def test_a_file_of_a_store_without_checksums_is_read(folder: Path) -> None:
    store = fsspec.filesystem("memory")
    store.pipe_file("/fingerprints/config.json", b"{}")
    store.pipe_file("/fingerprints/unet/weights.safetensors", b"0" * 3000)
    try:
        assert of("memory://fingerprints") == of(folder)
        assert of("memory://fingerprints/config.json") == of(folder / "config.json")
    finally:
        store.rm("/fingerprints", recursive=True)


def test_a_stores_own_checksum_is_taken_and_read_past_where_it_must(folder: Path) -> None:
    local = fingerprints.states(str(folder))
    stored = [FileState(one.name, one.location, one.size, f"etag {one.name}", f"etag {one.name}") for one in local]
    now = fingerprints.fingerprint(stored, {})
    assert now.startswith("store-") and of(folder).startswith("content-")
    assert fingerprints.same(now, now, stored, {})
    assert fingerprints.same(of(folder), now, stored, {})  # it was put into a bucket
    assert not fingerprints.same(of(folder / "unet"), now, stored, {})


def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{tmp_path}/nothing is not there; check the path"):
        fingerprints.states(f"{tmp_path}/nothing")
