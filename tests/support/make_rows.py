"""EPBD rows of random pictures, good and bad."""

from __future__ import annotations

from typing import Any

import numpy as np

from p2i_ray.data.images import encode_png


def make_row(number: int, resolution: int = 16, *, size: tuple[int, int] | None = None) -> dict[str, Any]:
    """A row whose product is in the middle; `size` is another width and height than the square's."""
    rng = np.random.default_rng(number)
    width, height = size or (resolution, resolution)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    alpha = np.zeros((height, width, 1), np.uint8)
    alpha[height // 4 : -(height // 4), width // 4 : -(width // 4)] = 255
    return {
        "id": f"row-{number:03}",
        "name": f"cup number {number}",
        "category": "cup",
        "image": {"bytes": encode_png(image), "path": None},
        "cutout": {"bytes": encode_png(np.concatenate([image, alpha], axis=2)), "path": None},
    }


def make_rows(good: int) -> list[dict[str, Any]]:
    """Good rows, then three that can't be used: an empty cutout, one without alpha, one that is not square."""
    rows = [make_row(number) for number in range(good + 3)]
    rows[good]["cutout"]["bytes"] = b""
    rows[good + 1]["cutout"] = rows[good + 1]["image"]
    wide = np.zeros((16, 20, 4), np.uint8)
    wide[4:8, 4:8] = 255
    rows[good + 2]["cutout"]["bytes"] = encode_png(wide)
    rows[good + 2]["image"]["bytes"] = encode_png(wide[..., :3])
    return rows
