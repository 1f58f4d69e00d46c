"""Feature files for tests, made of random pictures without Ray."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from p2i_ray.config import PainterConfig
from p2i_ray.diffusion import folder
from p2i_ray.diffusion.features import schema


def make_features(out: Path, painter: PainterConfig, count: int, resolution: int) -> list[str]:
    """Write `count` rows and one that was set aside, in two files; returns their names."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, resolution, resolution, 3), np.uint8)
    masks = np.zeros((count, resolution, resolution), np.uint8)
    masks[:, resolution // 4 : resolution // 2, resolution // 4 : resolution // 2] = 255
    encoded = folder.load_encoders(painter, "cpu").encode(images, masks)
    columns = {
        "id": [f"row-{number:03}" for number in range(count)],
        "name": [f"cup number {number}" for number in range(count)],
        "latent_shape": [[4, resolution // 2, resolution // 2]] * count,
        **{name: schema.pack(values, name) for name, values in encoded._asdict().items()},
        "error": [None] * count,
    }
    table = pa.table(columns, schema=schema.SCHEMA)
    bad = pa.Table.from_pylist([{"id": "row-bad", "name": "no picture", "error": "the image is empty"}], schema.SCHEMA)
    out.mkdir(parents=True)
    half = count // 2
    pq.write_table(pa.concat_tables([table.slice(half), bad]), out / "part-0.parquet")
    pq.write_table(table.slice(0, half), out / "part-1.parquet")
    return ["part-0.parquet", "part-1.parquet"]
