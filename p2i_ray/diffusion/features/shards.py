"""The shards: features under what they depend on, added to by any job and found again by any later one.

Their layout is that of content_cache.py. The fingerprint is of the VAE, of CLIP and of the resolution; a row's key is
the content of its two images, not its id: images change under an id, and two runs may give one id to different rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.features import schema
from p2i_ray.diffusion.model import validation
from p2i_ray.encoders import processor_files
from p2i_ray.errors import UserError
from p2i_ray.storage import content_cache, digests, folders, locations

FORMAT = 1  # to be raised when the same images and models give other features, or these other columns
FILES_AT_ONCE = 16
READ_ROWS = 256


class UnusableError(Exception):
    """A file can't be read; the text says why, as in "<file> is gone"."""


def open_shards(cache: str, diffusion: DiffusionConfig, resolution: int, *, pictures: bool = False) -> str:
    """The folder within a cache for features of these encoders at this resolution; made if needed.

    Reads all weights once. With `pictures`, which are many times as large as features, it is another folder.
    """
    vae, clip = locations.join(diffusion.base, "vae"), diffusion.clip
    config = validation.read_config(locations.join(clip, "config.json"))
    about = {
        "format": FORMAT,
        "resolution": resolution,
        "vae": _public(validation.read_config(locations.join(vae, "config.json"))),
        "vae_weights": digests.digest(folders.files(vae, ".safetensors")),
        "clip": {name: config.get(name) for name in ("vision_config", "projection_dim")},
        "clip_processor": [validation.read_config(file) for file in processor_files.there(clip)],
        "clip_weights": digests.digest(folders.files(clip, ".safetensors")),
    }
    return content_cache.open_folder(cache, {**about, "pictures": True} if pictures else about)


def _public(config: dict[str, Any]) -> dict[str, Any]:
    """Without where the folder was loaded from and by which version: a trained model has its base's VAE."""
    return {name: value for name, value in config.items() if not name.startswith("_")}


class KnownShards:
    """The features that are there: a KeyIndex and four bytes a key."""

    def __init__(self, folder: str) -> None:
        """Read the keys of a folder's shards.

        Raises:
            UserError: one can't be read.
        """
        self._names = content_cache.parts(folder)
        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            keys = list(pool.map(_keys, [locations.join(folder, name) for name in self._names]))
        self._places = content_cache.KeyIndex([key for part in keys for key in part])
        self._shards = np.repeat(np.arange(len(keys), dtype=np.int32), [len(part) for part in keys])

    def find(self, keys: Sequence[bytes]) -> list[str | None]:
        """The name of the shard that has a key's features; none: no shard has."""
        return [self._names[self._shards[place]] if place >= 0 else None for place in self._places.find(keys)]


def _keys(file: str) -> list[bytes]:
    try:
        return [key for batch in read(file, pa.schema([schema.KEY])) for key in batch["key"].to_pylist()]
    except UnusableError as error:
        raise UserError(f"{error}; it should hold features: remove it, and run again") from None


def add(folder: str, rows: pa.Table) -> str:
    """Write rows with the columns of schema.columns().shard; returns the name of their shard."""
    _, first = np.unique(np.array(rows["key"].to_pylist()), return_index=True)
    return content_cache.add(folder, rows.take(pa.array(first)))


def read(location: str, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    """These columns of a Parquet file, cast, a few rows at a time.

    Raises:
        UnusableError: it can't be read, or lacks a column.
    """
    with opened(location, columns) as file:
        for batch in file.iter_batches(batch_size=READ_ROWS, columns=columns.names):
            yield batch.select(columns.names).cast(columns)


@contextmanager
def opened(location: str, columns: pa.Schema) -> Iterator[pq.ParquetFile]:
    """A Parquet file that has these columns; whatever goes wrong with reading it in the block is an UnusableError."""
    filesystem, path = locations.open_location(location)
    try:
        with filesystem.open(path, "rb") as content:
            file = pq.ParquetFile(content)
            lacking = [name for name in columns.names if name not in file.schema_arrow.names]
            if lacking:
                raise UnusableError(f"{location} lacks the column {', '.join(lacking)}")
            yield file
    except FileNotFoundError:
        raise UnusableError(f"{location} is gone") from None
    except (pa.ArrowException, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UnusableError(f"{location} can't be read ({reason})") from None
