"""The columns of index and shards, and how arrays lie in them: raw little-endian bytes, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
_INDEX = (
    pa.field("id", pa.string()),
    pa.field("name", pa.string()),
    KEY,
    pa.field("shard", pa.string()),  # the file that has the row's features
    pa.field("size", pa.string()),  # of its picture in training, as in 512x512; absent from indexes of earlier versions
    pa.field("error", pa.string()),  # or why the row was set aside
)
_PIXELS = (pa.field("pixels", pa.binary()), pa.field("mask_pixels", pa.binary()))  # (H, W, 3) and (H, W) uint8
_PICTURES = (
    pa.field("picture", pa.binary()),  # PNG, (H, W, 3), as it is trained on
    pa.field("product", pa.binary()),  # PNG, (H, W), 255 where the product is
)
_CATEGORY = pa.field("category", pa.string())


@dataclass(frozen=True)
class Columns:
    """The columns of the files and of the tables between them.

    Attributes:
        index: of the index; a row a picture.
        shard: of the shards; a row for each content.
        features: of both joined.
        looked_up: on the way there: rows whose features are not known come with their images,
        encoded: then with their features.
    """

    index: pa.Schema
    shard: pa.Schema
    features: pa.Schema
    looked_up: pa.Schema
    encoded: pa.Schema


def _columns(of_rows: tuple[pa.Field, ...], of_content: tuple[pa.Field, ...]) -> Columns:
    index, content = (*_INDEX, *of_rows), (*_CONTENT, *of_content)
    return Columns(
        index=pa.schema(index),
        shard=pa.schema([KEY, *content]),
        features=pa.schema([pa.field("id", pa.string()), pa.field("name", pa.string()), *of_rows, *content]),
        looked_up=pa.schema([*index, *_PIXELS]),
        encoded=pa.schema([*index, *content]),
    )


PLAIN = _columns((), ())
# For generators, whose copies see pictures: pixels, which lie in shards of their own, and the rows' categories.
WITH_PICTURES = _columns((_CATEGORY,), _PICTURES)


def columns(*, pictures: bool) -> Columns:
    """The columns, with or without what generators are trained on."""
    return WITH_PICTURES if pictures else PLAIN


def narrow(array: NDArray[np.generic], name: str) -> NDArray[np.generic]:
    """An array as it is kept, (B, …); what doesn't fit becomes infinite."""
    with np.errstate(over="ignore"):
        return array.astype(DTYPES[name])


def unpack(column: pa.ChunkedArray, name: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """A column's rows as float32 (B, *shape)."""
    rows = [np.frombuffer(value.as_buffer(), DTYPES[name]) for value in column]
    return np.stack(rows).astype(np.float32).reshape(len(rows), *shape)
