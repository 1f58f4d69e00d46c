"""The contact sheet: the most doubtful cutouts first, from whichever file they are in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.data import writing
from p2i_ray.data.preview import CAPTION, COLUMNS, TILE, caption, write_preview
from p2i_ray.data.schema import INGESTED, SCHEMA

FIGURES = {"source": "onnx", "coverage": 0.2, "border": 0.0, "holes": 0.0, "thin": 0.0}


def row(number: int, doubt: float) -> dict[str, object]:
    """A product whose picture is plain grey of level `number`."""
    cutout = np.full((32, 32, 4), number, np.uint8)
    cutout[..., 3] = 255
    quality = {**FIGURES, "disagreement": doubt / 4, "confidence": None, "doubt": doubt}
    return writing.sample(
        f"id{number}", "Name", "Kind", cutout=cutout, picture=cutout[..., :3], lossless=True, quality=quality
    )


def greys(sheet: Path, samples: int) -> list[int]:
    """The level of each sample's picture on a sheet."""
    pixels = np.asarray(Image.open(sheet))
    places = [
        (12 + n // COLUMNS * (TILE + CAPTION) + 9, 12 + n % COLUMNS * (2 * TILE + 12) + 9) for n in range(samples)
    ]
    return [int(pixels[place][0]) for place in places]


def test_the_worst_come_first_and_others_after_them(tmp_path: Path) -> None:
    doubts = [0.1, 0.9, 0.3, 0.0, 0.5, 0.2, 0.7, 0.4]
    parts = [range(0, 3), range(3, 6), range(6, 8)]
    files = [
        str(tmp_path / writing.write_shard([row(10 * n, doubts[n]) for n in part], str(tmp_path), INGESTED))
        for part in parts
    ]
    write_preview(files, str(tmp_path / "sheet.png"), ImageConfig(), samples=6)
    found = greys(tmp_path / "sheet.png", 6)
    assert found[:4] == [10, 60, 40, 70]  # 0.9, 0.7, 0.5, 0.4
    assert set(found[4:]) <= {0, 20, 30, 50} and len(set(found)) == 6


def test_a_folder_without_figures_is_shown_as_it_is(tmp_path: Path) -> None:
    file = writing.write_shard([row(10 * n, 0.5) for n in range(4)], str(tmp_path), SCHEMA)
    write_preview([str(tmp_path / file)], str(tmp_path / "sheet.png"), ImageConfig())
    assert greys(tmp_path / "sheet.png", 4) == [0, 10, 20, 30]


def test_the_caption_says_where_a_doubt_is_from() -> None:
    assert caption(None) == ""
    quality = {**FIGURES, "holes": 0.123, "disagreement": None, "confidence": 1.2, "doubt": 0.41}
    assert caption(quality) == "onnx: doubt 0.41  holes 0.12"


def test_pictures_keep_their_shape(tmp_path: Path) -> None:
    cutout = np.full((16, 32, 4), 90, np.uint8)
    cutout[..., 3] = 255
    quality = {**FIGURES, "disagreement": 0.0, "confidence": None, "doubt": 0.0}
    wide = writing.sample("a", "Name", "Kind", cutout=cutout, picture=cutout[..., :3], lossless=True, quality=quality)
    file = writing.write_shard([wide], str(tmp_path), INGESTED)
    write_preview([str(tmp_path / file)], str(tmp_path / "sheet.png"), ImageConfig())
    column = np.asarray(Image.open(tmp_path / "sheet.png"))[12 : 12 + TILE, 12 + TILE // 2, 0]
    assert (column == 90).sum() == TILE // 2 and column[0] == column[-1] == 255
