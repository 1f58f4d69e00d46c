"""Files found under equivalent spellings, and never under another's."""

from __future__ import annotations

import unicodedata

import pytest

from p2i_ray.data.errors import ImageError
from p2i_ray.data.sources.file_index import FileIndex, shared_folder

NAMES = ("mug.jpg", "Tassen/grüne Tasse.JPG", "jug.png", "old/jug.png", "x/only.webp", "x/notes.txt")


def index(*names: str) -> FileIndex:
    return FileIndex({name: name for name in names or NAMES}, "/data/shop/photos")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("mug.jpg", "mug.jpg"),
        ("MUG.JPG", "mug.jpg"),
        ("Tassen\\grüne Tasse.JPG", "Tassen/grüne Tasse.JPG"),
        (unicodedata.normalize("NFD", "Tassen/grüne Tasse.jpg"), "Tassen/grüne Tasse.JPG"),
        ("tassen/gr%C3%BCne%20Tasse.jpg", "Tassen/grüne Tasse.JPG"),
        ("photos/mug.jpg", "mug.jpg"),
        ("shop/photos/mug.jpg", "mug.jpg"),
        ("/data/shop/photos/x/only.webp", "x/only.webp"),
        ("C:\\data\\shop\\photos\\mug.jpg", "mug.jpg"),
        ("only.webp", "x/only.webp"),
        ("https://cdn.example.com/2026/only.webp?v=1", "x/only.webp"),
        ("jug.png", "jug.png"),  # as it is, though old/ has one, too
        ("other/mug.jpg", None),
        ("data/mug.jpg", None),
        ("../mug.jpg", None),
        ("nothing.jpg", None),
    ],
)
def test_spellings(path: str, found: str | None) -> None:
    assert index().find(path) == found


def test_two_files_of_one_spelling_are_none() -> None:
    for path in ("MUG.jpg", "https://example.com/jug.png"):
        with pytest.raises(ImageError, match="ambiguous file: 2 files of source are spelled like"):
            index("mug.jpg", "Mug.JPG", "a/jug.png", "b/jug.png").find(path)
    assert index("mug.jpg", "Mug.JPG").find("mug.jpg") == "mug.jpg"


def test_a_folder_that_all_paths_have_in_front_is_left_out() -> None:
    paths = ["/home/anna/pictures/mug.jpg", "\\home\\anna\\pictures\\old\\jug.png", ""]
    assert shared_folder(paths) == "/home/anna/pictures"
    assert [index().find(path, "/home/anna/pictures") for path in paths[:2]] == ["mug.jpg", "old/jug.png"]
    assert (
        shared_folder(["a/b.jpg", "c.jpg"])
        == shared_folder(["../b.jpg"])
        == shared_folder(["/a/b.jpg", "a/b.jpg"])
        == ""
    )


def test_a_file_that_lacks_in_its_folder_is_not_one_elsewhere() -> None:
    files = index("1.jpg", "new/2.jpg", "photos/3.jpg")
    assert [files.find(path, "new") for path in ("new/1.jpg", "new/2.jpg", "New/1.jpg")] == [None, "new/2.jpg", None]
    assert files.find("photos/1.jpg") is None and files.find("shop/photos/1.jpg") == "1.jpg"
    assert index("new/1/a.jpg", "a.jpg").find("new/a.jpg", "new") is None


def test_pictures_without_a_row_are_counted() -> None:
    found = index()
    found.find("photos/MUG.jpg")
    assert [*found.unlisted()] == ["Tassen/grüne Tasse.JPG", "jug.png", "old/jug.png", "x/only.webp"]
