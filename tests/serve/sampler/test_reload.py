"""A reloading folder: what counts as a new model, and what doesn't."""

from __future__ import annotations

from pathlib import Path

from p2i_ray.serve.sampler.reload import ReloadingModel, fingerprint
from p2i_ray.storage import locations


def load(location: str) -> str:
    """A model whose weights are a text; a wrong one doesn't load."""
    text = locations.read_text(locations.join(location, "unet", "weights"))
    if text == "broken":
        raise RuntimeError("no weights")
    return text


def write(folder: Path, text: str) -> Path:
    (folder / "unet").mkdir(parents=True, exist_ok=True)
    locations.write_text(str(folder / "unet" / "weights"), text)
    return folder


def test_a_change_counts_when_two_looks_have_seen_the_same(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", "old")
    reloading = ReloadingModel(str(folder), load)
    assert reloading.poll() is None and reloading.model == "old"
    write(folder, "half")
    assert reloading.poll() is None
    write(folder, "new model")
    assert reloading.poll() is None
    assert reloading.poll() == "new model"
    assert reloading.model == "old"  # until it is used
    reloading.use("new model")
    assert reloading.model == "new model" and reloading.poll() is None


def test_a_folder_that_is_gone_or_broken_changes_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", "old")
    told: list[str] = []
    reloading = ReloadingModel(str(folder), load, told.append)
    folder.rename(tmp_path / "away")
    assert [reloading.poll() for _ in range(3)] == [None] * 3
    write(folder, "broken")
    assert [reloading.poll() for _ in range(3)] == [None] * 3
    assert told == ["refused"]  # once, not at every look
    write(folder, "mended")
    assert [reloading.poll() for _ in range(2)] == [None, "mended"]
    assert told == ["refused", "loaded"]


def test_a_folder_that_changes_while_it_is_loaded_is_loaded_again(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", "one")
    loads: list[str] = []

    def slowly(location: str) -> str:
        loads.append(load(location))
        if loads[-1] == "two":
            write(folder, "three")
        return loads[-1]

    reloading = ReloadingModel(str(folder), slowly)
    write(folder, "two")
    assert [reloading.poll() for _ in range(4)] == [None, None, None, "three"]
    assert loads == ["one", "two", "three"]


def test_a_link_that_is_pointed_elsewhere_is_a_new_model(tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to(write(tmp_path / "a", "old"))
    reloading = ReloadingModel(str(link), load)
    other = tmp_path / "other"
    other.symlink_to(write(tmp_path / "b", "new"))
    other.replace(link)
    assert [reloading.poll() for _ in range(2)] == [None, "new"]


def test_object_stores_are_watched_too() -> None:
    locations.write_text("memory://bucket/model/unet/weights", "old")
    reloading = ReloadingModel("memory://bucket/model", load)
    assert reloading.poll() is None
    locations.write_text("memory://bucket/model/unet/weights", "new")
    assert [reloading.poll() for _ in range(2)] == [None, "new"]
    locations.remove("memory://bucket")
    assert fingerprint("memory://bucket/model") is None
