"""A folder of real photos with a CSV, of scikit-image's own: `python -m tests.support.photos FOLDER`."""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path

import skimage

PHOTOS = (
    ("coffee.png", "Espresso Cup, Red Stoneware", "Cup"),
    ("chelsea.png", "Tabby Cat Plush Toy", "Toy"),
    ("astronaut.png", "Astronaut Figure, Orange Suit", "Toy"),
    ("rocket.jpg", "Model Rocket 70 cm", "Toy"),
    ("horse.png", "Cast Iron Horse", "Decoration"),
    ("retina.jpg", "Glass Paperweight, Red", "Decoration"),
    ("logo.png", "Snake Logo Plate", "Decoration"),
    ("color.png", "Rainbow Disc", "Toy"),
)


def photo(name: str) -> Path:
    """One of scikit-image's own files."""
    return Path(skimage.__file__).parent / "data" / name


def make_folder(folder: Path, rows: tuple[tuple[str, str, str], ...] = PHOTOS) -> Path:
    """Copy photos into `folder` and write `folder`/names.csv; returns the CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, _, _ in rows:
        shutil.copy(photo(file), folder / file)
    names = folder / "names.csv"
    with names.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("file", "name", "category"), *rows])
    return names


if __name__ == "__main__":
    print(make_folder(Path(sys.argv[1])))
