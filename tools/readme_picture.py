"""Draw the README's picture from a finished run: `python tools/readme_picture.py RUN_DIR docs/rounds.png`."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

PRODUCTS, SIDE, GAP = 12, 96, 4


def pictures(round_folder: Path, column: str) -> dict[str, Image.Image]:
    """A round's generated pictures (or cutouts) by id."""
    names = json.loads((round_folder / "steps" / "generate.json").read_text())["files"]
    rows = [row for name in names for row in pq.read_table(round_folder / "generated" / name).to_pylist()]
    return {row["id"]: Image.open(io.BytesIO(row[column]["bytes"])).convert("RGBA") for row in rows}


def main(run_dir: str, out: str) -> None:
    """Draw one product a column; rows: cutout, before training, and each round."""
    rounds = sorted(Path(run_dir).glob("round-*"))
    rows = [pictures(rounds[-1], "cutout"), *(pictures(folder, "image") for folder in rounds)]
    ids = sorted(rows[0])[:PRODUCTS]
    sheet = Image.new("RGB", (len(ids) * (SIDE + GAP) - GAP, len(rows) * (SIDE + GAP) - GAP), "white")
    for y, row in enumerate(rows):
        for x, product in enumerate(ids):
            picture = row[product].resize((SIDE, SIDE), Image.Resampling.NEAREST)
            sheet.paste(picture, (x * (SIDE + GAP), y * (SIDE + GAP)), picture)
    sheet.save(out, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
