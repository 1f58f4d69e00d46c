"""Rows for the metrics: coloured noise as generated and as real pictures."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
from PIL import Image

from p2i_ray.data.images import Pixels
from p2i_ray.data.schema import IMAGE
from p2i_ray.diffusion.sampling.generate import schema


def picture(seed: int, shape: tuple[int, ...] = (32, 32, 3)) -> Pixels:
    """Coloured noise on a coloured ground: (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 256, 3)
    return np.clip(ground + rng.normal(0, 30, shape), 0, 255).astype(np.uint8)


def png(pixels: Pixels) -> dict[str, object]:
    """Encode as a Hugging Face image struct."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return {"bytes": out.getvalue(), "path": None}


def mask() -> Pixels:
    """A product in the middle: (32, 32) uint8."""
    found = np.zeros((32, 32), np.uint8)
    found[8:24, 10:22] = 255
    return found


SCHEMA = schema()


def generated(count: int, seed: int = 0, failed: int = 0) -> pa.Table:
    """Generated rows as diffusion.sampling.generate writes them; the last `failed` of them have an error."""
    rows = [
        {
            "id": f"{i:03d}",
            "name": "a lamp",
            "category": "lamp",
            "image": png(picture(seed + i)) if i < count - failed else None,
            "cutout": png(np.dstack([picture(1000 + i), mask()])),
            "error": None if i < count - failed else "out of memory",
        }
        for i in range(count)
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def real(count: int, seed: int = 0) -> pa.Table:
    """Real rows; with the same seed the same pictures as `generated`."""
    rows = [{"id": f"{i:03d}", "image": png(picture(seed + i))} for i in range(count)]
    return pa.Table.from_pylist(rows, pa.schema([("id", pa.string()), ("image", IMAGE)]))
