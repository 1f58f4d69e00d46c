"""A contact sheet (photo, cutout on a checkerboard, name, doubt) for checking cutouts by eye: the worst first."""

from __future__ import annotations

import heapq
import io
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageFont, ImageOps

from p2i_ray.config import ImageConfig
from p2i_ray.data.images import decode, encoded, has_picture
from p2i_ray.storage import locations

TILE = 192  # pixels
COLUMNS = 3  # samples a row
CAPTION = 52  # pixels below a sample
MOST_FILES = 1000  # that are searched for the worst, spread over all
FIGURES = ("border", "holes", "thin", "disagreement")  # of a cutout, which make its doubt


def _font() -> str:
    """Matplotlib's own font, which has the letters of European languages; Pillow's has English ones alone."""
    import matplotlib

    return f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"


def write_preview(files: list[str], location: str, image: ImageConfig, samples: int = 24) -> None:
    """Write a PNG with up to `samples` rows of EPBD files, those with the most doubtful cutouts first.

    The last third of the sheet are rows from all over the files, in no order of quality.
    """
    worst = _worst(files, samples - samples // 3)
    others = [row for row in _spread(files, samples) if row["id"] not in {one["id"] for one in worst}]
    rows = worst + others[: samples - len(worst)]
    lines = -(-len(rows) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (2 * TILE + 12) + 12, lines * (TILE + CAPTION) + 12), "white")
    for place, row in enumerate(rows):
        x, y = 12 + place % COLUMNS * (2 * TILE + 12), 12 + place // COLUMNS * (TILE + CAPTION)
        if has_picture(row["image"]):
            picture, place_in = _tile(decode(encoded(row["image"]), image).convert("RGB"))
            sheet.paste(picture, (x + place_in[0], y + place_in[1]))
        else:
            _write(sheet, (x + 12, y + TILE // 2), "no scene", TILE)
        cutout, place_in = _tile(decode(encoded(row["cutout"]), image))
        sheet.paste(_checkerboard(), (x + TILE, y))
        sheet.paste(cutout, (x + TILE + place_in[0], y + place_in[1]), cutout)
        _write(sheet, (x, y + TILE + 4), f"{row['name']}  ·  {row['category']}")
        _write(sheet, (x, y + TILE + 22), caption(row.get("quality")))
    out = io.BytesIO()
    sheet.save(out, "PNG")
    locations.write_bytes(location, out.getvalue())


def _tile(picture: Image.Image) -> tuple[Image.Image, tuple[int, int]]:
    """A picture that fits a tile in its own shape, and where it lies in it."""
    small = ImageOps.contain(picture, (TILE, TILE))
    return small, ((TILE - small.width) // 2, (TILE - small.height) // 2)


def caption(quality: dict[str, Any] | None) -> str:
    """A cutout's figures in one line, without those that are zero."""
    if not quality:
        return ""
    shown = [f"{name} {quality[name]:.2f}" for name in FIGURES if (quality[name] or 0) >= 0.005]
    return "  ".join([f"{quality['source']}: doubt {quality['doubt']:.2f}", *shown])


def _worst(files: list[str], samples: int) -> list[dict[str, Any]]:
    """The rows with the largest doubt, largest first; files without figures have none."""
    doubts: list[tuple[float, str, int]] = []
    for file in _some(files, MOST_FILES):
        filesystem, path = locations.open_location(file)
        with filesystem.open(path, "rb") as opened:
            found = pq.ParquetFile(opened)
            if "quality" not in found.schema_arrow.names:
                continue
            column = found.read(columns=["quality.doubt"])["quality"].to_pylist()
        doubts += [(one["doubt"], file, place) for place, one in enumerate(column) if one and one["doubt"] is not None]
        doubts = heapq.nlargest(samples, doubts)
    return [_row(file, place) for _, file, place in doubts]


def _row(file: str, place: int) -> dict[str, Any]:
    """One row of a file, which is read no further than its row group."""
    filesystem, path = locations.open_location(file)
    with filesystem.open(path, "rb") as opened:
        found = pq.ParquetFile(opened)
        for group in range(found.num_row_groups):
            rows = found.metadata.row_group(group).num_rows
            if place < rows:
                return dict(found.read_row_group(group).slice(place, 1).to_pylist()[0])
            place -= rows
    raise IndexError(f"{file} has no such row")


def _spread(files: list[str], samples: int) -> list[dict[str, Any]]:
    """Rows from files spread over all."""
    spread = _some(files, samples)
    rows: list[dict[str, Any]] = []
    for number, file in enumerate(spread):
        filesystem, path = locations.open_location(file)
        with filesystem.open(path, "rb") as opened:
            group = pq.ParquetFile(opened).read_row_group(0)
        share = -(-(samples - len(rows)) // (len(spread) - number))
        rows += group.slice(0, share).to_pylist()
    return rows[:samples]


def _some(files: list[str], most: int) -> list[str]:
    """At most so many of the files, spread evenly."""
    return [files[i] for i in sorted({round(i) for i in np.linspace(0, len(files) - 1, min(most, len(files)))})]


def _checkerboard() -> Image.Image:
    y, x = np.mgrid[:TILE, :TILE] // 12
    return Image.fromarray(np.where((x + y) % 2, 235, 200).astype(np.uint8)).convert("RGB")


def _write(sheet: Image.Image, place: tuple[int, int], text: str, width: int = 2 * TILE) -> None:
    """Write one line, cut to `width` pixels, by default a sample's."""
    draw, font = ImageDraw.Draw(sheet), ImageFont.truetype(_font(), 13)
    short = text
    while short and draw.textlength(short if short == text else f"{short}…", font) > width:
        short = short[:-1]
    draw.text(place, short if short == text else f"{short}…", "black", font)
