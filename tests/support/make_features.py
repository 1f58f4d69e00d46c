"""Features for tests, made of random pictures without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from p2i_ray.config import DiffusionConfig
from p2i_ray.data.images import Pixels, encode_png
from p2i_ray.diffusion.features import schema
from p2i_ray.diffusion.features.encoders import load_encoders
from p2i_ray.diffusion.features.index import FeatureIndex
from p2i_ray.storage import content_cache


def make_pictures(count: int, resolution: int) -> tuple[Pixels, Pixels]:
    """Random pictures (count, R, R, 3) and masks (count, R, R) of a product in their upper left."""
    images = np.random.default_rng(0).integers(0, 256, (count, resolution, resolution, 3), np.uint8)
    masks = np.zeros((count, resolution, resolution), np.uint8)
    masks[:, resolution // 4 : resolution // 2, resolution // 4 : resolution // 2] = 255
    return images, masks


def make_features(
    out: Path, diffusion: DiffusionConfig, count: int, resolution: int, categories: Sequence[str] = ()
) -> FeatureIndex:
    """Write `count` rows and one that was set aside, in two index files and two shards; the names are the same.

    With categories, which rows take in turn, they have pictures as well.
    """
    columns = schema.columns(pictures=bool(categories))
    images, masks = make_pictures(count, resolution)
    encoded = load_encoders(diffusion, "cpu").encode(images, masks)
    half, keys = count // 2, [content_cache.key_of(image.tobytes()) for image in images]
    files = ["part-1.parquet"] * half + ["part-0.parquet"] * (count - half)
    index = {
        "id": [f"row-{number:03}" for number in range(count)],
        "name": [f"cup number {number}" for number in range(count)],
        "key": keys,
        "shard": files,
        "size": [f"{resolution}x{resolution}"] * count,
        "error": [None] * count,
    }
    if categories:
        index["category"] = [categories[number % len(categories)] for number in range(count)]
    table = pa.table(index, schema=columns.index)
    bad = pa.Table.from_pylist([{"id": "row-bad", "name": "no picture", "error": "the image is empty"}], columns.index)
    content = {
        "key": keys,
        "latent_shape": [[4, resolution // 2, resolution // 2]] * count,
        **{name: [row.tobytes() for row in schema.narrow(v, name)] for name, v in encoded._asdict().items()},
    }
    if categories:
        content |= {"picture": list(map(encode_png, images)), "product": list(map(encode_png, masks))}
    shards = pa.table(content, schema=columns.shard)
    (out / "shards").mkdir(parents=True)
    for name, part in (("part-0.parquet", slice(half, count)), ("part-1.parquet", slice(0, half))):
        rows = table.slice(part.start, part.stop - part.start)
        pq.write_table(pa.concat_tables([rows, bad]) if name == "part-0.parquet" else rows, out / name)
        pq.write_table(shards.slice(part.start, part.stop - part.start), out / "shards" / name)
    return FeatureIndex(str(out), ["part-0.parquet", "part-1.parquet"], str(out / "shards"), pictures=bool(categories))
