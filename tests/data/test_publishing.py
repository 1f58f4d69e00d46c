"""What an ingestion publishes: all or nothing is seen, nothing is overwritten, and a kill in between loses nothing."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import pytest

from p2i_ray.data import publishing
from p2i_ray.errors import UserError
from tests.support.epbd_row import row
from tests.support.write_split import write_split

ROW = {key: value for key, value in row("a", "Mug").items() if key != "group"}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    out = str(tmp_path / "data")
    publishing.check_free(out)
    building = publishing.building_folder(out)
    kept = write_split(building, "train", [ROW] * 2) + write_split(building, "train", [ROW])
    write_split(building, "train", [ROW] * 3)  # of a killed attempt, in no list
    publishing.publish(building, out, {"train": kept, "test": []})
    assert names(tmp_path / "data" / "train") == sorted(kept)
    assert names(tmp_path / "data") == ["train"]
    with pytest.raises(UserError, match=r"already holds data \(train\)"):
        publishing.check_free(out)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        publishing.check_free(str(tmp_path / "file"))


@pytest.mark.parametrize("name", ["data", "spring [1] *", "new?"])
def test_a_bucket_is_published_file_by_file(name: str) -> None:
    """Also where the folder's name has what fsspec takes for a pattern."""
    out = f"memory://bucket/{name}"
    kept = write_split(f"{out}/.building-1", "train", [ROW])
    publishing.publish(f"{out}/.building-1", out, {"train": kept})
    memory = fsspec.filesystem("memory")
    assert memory.ls(f"/bucket/{name}/train", detail=False) == [f"/bucket/{name}/train/{kept[0]}"]
    assert memory.find("/bucket") == [f"/bucket/{name}/train/{kept[0]}"]
    memory.rm("/bucket", recursive=True)


@pytest.mark.parametrize("moved", range(5))
def test_a_publication_goes_on_wherever_it_was_killed(tmp_path: Path, moved: int) -> None:
    out = tmp_path / "data"
    for name in ("train/old", "rejected/old", "rejected/list.csv"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(f"{name} of before")
    building = out / ".building-1"
    files = {"train": ["a", "b"], "test": ["c"], "rejected": ["d", "list.csv"]}
    for part, some in files.items():
        (building / part).mkdir(parents=True)
        for name in some:
            (building / part / name).write_text(name)
    journal = {"building": building.name, "files": files, "replaced": ["rejected/old"]}
    (out / publishing.JOURNAL).write_text(json.dumps(journal))
    for part, name in [(part, name) for part, some in files.items() for name in some][:moved]:
        (out / part).mkdir(exist_ok=True)
        (building / part / name).replace(out / part / name)
    publishing.finish(str(out))
    assert names(out) == ["rejected", "test", "train"]
    assert names(out / "train") == ["a", "b", "old"] and names(out / "test") == ["c"]
    assert names(out / "rejected") == ["d", "list.csv"] and (out / "rejected/list.csv").read_text() == "list.csv"
    publishing.finish(str(out))  # nothing is left to do


def test_what_killed_attempts_left_is_removed(tmp_path: Path) -> None:
    for name in (".building-1/train/a", ".building-2/x", "train/a", ".hidden/b"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("")
    publishing.remove_unfinished(str(tmp_path))
    assert names(tmp_path) == [".hidden", "train"]
    publishing.remove_unfinished(str(tmp_path / "nowhere"))
