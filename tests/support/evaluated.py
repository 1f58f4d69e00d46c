"""Out folders of jobs/evaluate.py without painting: pictures of one colour a method, with the product in the middle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from p2i_ray.data.images import encode_png
from p2i_ray.diffusion.sampling.generate import schema
from p2i_ray.storage import parquet

SIDE = 64


def evaluated_row(number: int, colour: Sequence[int], *, size: tuple[int, int] = (SIDE, SIDE)) -> dict[str, Any]:
    """A generated row of product `number`, painted in this colour, (R, G, B); size is (width, height)."""
    width, height = size
    cutout = np.zeros((SIDE, SIDE, 4), np.uint8)
    cutout[16:48, 16:48] = (number, 200, 10, 255)
    picture = np.broadcast_to(np.array(colour, np.uint8), (height, width, 3)).copy()
    picture[16:48, 16:48] = cutout[16:48, 16:48, :3]
    return {
        "id": f"p-{number:03}",
        "name": f"Cup <b>no. {number}</b>",
        "category": "cups",
        "image": {"bytes": encode_png(picture), "path": None},
        "cutout": {"bytes": encode_png(cutout), "path": None},
        "error": None,
    }


def write_evaluated(folder: Path, rows: Sequence[Mapping[str, Any]], *, model: str = "/models/one") -> Path:
    """Write the pictures' part of an evaluation, in two files."""
    files = ["part-0.parquet", "part-1.parquet"]
    middle = len(rows) // 2
    for file, part in zip(files, (rows[:middle], rows[middle:]), strict=True):
        parquet.write_table(pa.Table.from_pylist(list(part), schema=schema()), str(folder / "generated" / file))
    asked = {"model": model, "method": "lama"}
    (folder / "generated.json").write_text(json.dumps({"asked": asked, "files": files}))
    return folder


def write_methods(folder: Path, colours: Mapping[str, Sequence[int]], *, products: int = 12) -> list[str]:
    """Evaluations of several methods, by name; their folders."""
    found = []
    for name, colour in colours.items():
        rows = [evaluated_row(number, colour) for number in range(products)]
        found.append(str(write_evaluated(folder / name, rows, model=f"/models/{name}")))
    return found
