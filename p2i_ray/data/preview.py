"""A contact sheet of a few samples (photo, cutout on a checkerboard, name) for checking the masks by eye."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageFont

from p2i_ray.config import ImageConfig
from p2i_ray.data.images import decode, encoded, has_picture
from p2i_ray.storage import locations

TILE = 192  # pixels
COLUMNS = 3  # samples a row
CAPTION = 34  # pixels below a sample


def write_preview(files: list[str], location: str, image: ImageConfig, samples: int = 12) -> None:
    """Write a PNG with up to `samples` rows of EPBD files, spread over the files."""
    rows = _pick(files, samples)
    lines = -(-len(rows) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (2 * TILE + 12) + 12, lines * (TILE + CAPTION) + 12), "white")
    for place, row in enumerate(rows):
        x, y = 12 + place % COLUMNS * (2 * TILE + 12), 12 + place // COLUMNS * (TILE + CAPTION)
        if has_picture(row["image"]):
            sheet.paste(decode(encoded(row["image"]), image).convert("RGB").resize((TILE, TILE)), (x, y))
        else:
            _write(sheet, (x + 12, y + TILE // 2), "no scene", TILE)
        cutout = decode(encoded(row["cutout"]), image).resize((TILE, TILE))
        sheet.paste(_checkerboard(), (x + TILE, y))
        sheet.paste(cutout, (x + TILE, y), cutout)
        _write(sheet, (x, y + TILE + 4), f"{row['name']}  ·  {row['category']}")
    out = io.BytesIO()
    sheet.save(out, "PNG")
    locations.write_bytes(location, out.getvalue())


def _pick(files: list[str], samples: int) -> list[dict[str, Any]]:
    spread = [files[i] for i in sorted({round(i) for i in np.linspace(0, len(files) - 1, min(samples, len(files)))})]
    rows: list[dict[str, Any]] = []
    for number, file in enumerate(spread):
        filesystem, path = locations.open_location(file)
        with filesystem.open(path, "rb") as opened:
            group = pq.ParquetFile(opened).read_row_group(0)
        share = -(-(samples - len(rows)) // (len(spread) - number))
        rows += group.slice(0, share).to_pylist()
    return rows[:samples]


def _checkerboard() -> Image.Image:
    y, x = np.mgrid[:TILE, :TILE] // 12
    return Image.fromarray(np.where((x + y) % 2, 235, 200).astype(np.uint8)).convert("RGB")


def _write(sheet: Image.Image, place: tuple[int, int], text: str, width: int = 2 * TILE) -> None:
    """Write one line, cut to `width` pixels, by default a sample's."""
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    short = text
    while short and draw.textlength(short if short == text else f"{short}…", font) > width:
        short = short[:-1]
    draw.text(place, short if short == text else f"{short}…", "black", font)
