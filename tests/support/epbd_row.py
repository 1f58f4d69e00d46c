"""A row of EPBD as ingest makes it, small."""

from __future__ import annotations

from typing import Any

import numpy as np

from p2i_ray.data import writing

PHOTO = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)


def row(id: str, name: str, *, scene: bool = True, group: str | None = "g") -> dict[str, Any]:
    """A row with a photo (JPEG) of 16 x 16 pixels, or without; its cutout's colours depend on the id's length."""
    mask = np.pad(np.full((8, 8), 255, np.uint8), 4)
    cutout = np.dstack([PHOTO + np.uint8(len(id)), mask])
    made = writing.sample(id, name, "Küche, Bad", cutout=cutout, picture=PHOTO if scene else None)
    return {**made, "group": group}
