"""The columns of a feature file, and how arrays lie in them: raw little-endian bytes, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Moments are kept at half precision: its rounding, one part in 2000, is far below what an 8-bit picture resolves.
DTYPES: dict[str, np.dtype[Any]] = {
    "image_moments": np.dtype("<f2"),  # (2c, h, w) mean and log-variance of the picture's latent, unscaled
    "product_moments": np.dtype("<f2"),  # (2c, h, w) of the product on grey
    "mask": np.dtype("u1"),  # (1, h, w) 1 where the background is to be painted
    "background_clip": np.dtype("<f4"),  # (d,) r_B
    "image_clip": np.dtype("<f4"),  # (d,) r_I
}

FEATURES = pa.schema(
    [
        ("id", pa.string()),
        ("name", pa.string()),
        ("latent_shape", pa.list_(pa.int32())),  # c, h, w
        *((name, pa.binary()) for name in DTYPES),
    ]
)
SCHEMA = FEATURES.append(pa.field("error", pa.string()))  # why a row was set aside; its features are null


def pack(array: NDArray[np.generic], name: str) -> list[bytes]:
    """An array (B, …) as one byte string a row."""
    return [row.astype(DTYPES[name]).tobytes() for row in array]


def unpack(column: pa.ChunkedArray, name: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """A column's rows as float32 (B, *shape)."""
    rows = [np.frombuffer(value.as_buffer(), DTYPES[name]) for value in column]
    return np.stack(rows).astype(np.float32).reshape(len(rows), *shape)
