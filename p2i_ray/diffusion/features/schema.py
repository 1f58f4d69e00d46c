"""The columns of index and shards, and how arrays lie in them: raw little-endian bytes, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from p2i_ray.storage import content_cache

# Moments are kept at half precision: its rounding, one part in 2000, is far below what an 8-bit image resolves.
DTYPES: dict[str, np.dtype[Any]] = {
    "image_moments": np.dtype("<f2"),  # (2c, h, w) mean and log-variance of the image's latent, unscaled
    "product_moments": np.dtype("<f2"),  # (2c, h, w) of the product on grey
    "mask": np.dtype("u1"),  # (1, h, w) 1 where the background is to be painted
    "background_clip": np.dtype("<f4"),  # (d,) r_B
    "image_clip": np.dtype("<f4"),  # (d,) r_I
}

KEY = pa.field("key", content_cache.KEY)  # of the row's two images
_CONTENT = (
    pa.field("latent_shape", pa.list_(pa.int32())),  # c, h, w
    *(pa.field(name, pa.binary()) for name in DTYPES),
)
SHARD = pa.schema([KEY, *_CONTENT])
INDEX = pa.schema(
    [
        ("id", pa.string()),
        ("name", pa.string()),
        KEY,
        ("shard", pa.string()),  # the file that has the row's features
        ("size", pa.string()),  # of its picture in training, as in 512x512; absent from indexes of earlier versions
        ("error", pa.string()),  # or why the row was set aside
    ]
)
FEATURES = pa.schema([("id", pa.string()), ("name", pa.string()), *_CONTENT])  # both joined

# On the way there: rows whose features are not known come with their images, then with their features.
LOOKED_UP = pa.schema([*INDEX, ("pixels", pa.binary()), ("mask_pixels", pa.binary())])  # (H, W, 3) and (H, W) uint8
ENCODED = pa.schema([*INDEX, *_CONTENT])


def narrow(array: NDArray[np.generic], name: str) -> NDArray[np.generic]:
    """An array as it is kept, (B, …); what doesn't fit becomes infinite."""
    with np.errstate(over="ignore"):
        return array.astype(DTYPES[name])


def unpack(column: pa.ChunkedArray, name: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """A column's rows as float32 (B, *shape)."""
    rows = [np.frombuffer(value.as_buffer(), DTYPES[name]) for value in column]
    return np.stack(rows).astype(np.float32).reshape(len(rows), *shape)
