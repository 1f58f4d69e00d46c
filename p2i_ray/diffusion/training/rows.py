"""The feature files as a map from position to row, in an order that depends on the seed and on nothing else.

A training process needs rows in random order; Parquet is read in order. So the kept rows are copied once a node into
an uncompressed Arrow file that its processes map into memory: the operating system shares the pages and drops them
when memory is short.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from p2i_ray import storage
from p2i_ray.diffusion.features import schema
from p2i_ray.storage import seed_for

READ_ROWS = 256


def count(features: str, files: Sequence[str], keep: str | None) -> int:
    """How many rows there are to train on: kept, and not set aside."""
    kept = kept_ids(keep)
    return sum(_usable(batch, kept).num_rows for batch in _batches(features, files, ["id", "error"]))


def kept_ids(keep: str | None) -> pa.Array | None:
    """The ids that a Parquet file lists; none means all."""
    if keep is None:
        return None
    filesystem, path = storage.open_location(keep)
    return pq.read_table(path, columns=["id"], filesystem=filesystem)["id"].combine_chunks().cast(pa.string())


def copy_to_node(features: str, files: Sequence[str], keep: str | None) -> str:
    """Copy the kept rows to an Arrow file in this node's temporary folder; returns its path, to `unlink` once open."""
    kept = kept_ids(keep)
    with tempfile.NamedTemporaryFile(prefix="p2i_features_", suffix=".arrow", delete=False) as file:
        with pa.ipc.new_file(file, schema.FEATURES) as out:
            for batch in _batches(features, files, schema.FEATURES.names):
                out.write_batch(_usable(batch, kept).select(schema.FEATURES.names).cast(schema.FEATURES))
        return file.name


class Rows:
    """Feature rows, mapped into memory, sorted by id."""

    def __init__(self, path: str) -> None:
        """Open what `copy_to_node` wrote; it must hold at least one row."""
        reader = pa.ipc.open_file(pa.memory_map(path))
        self._batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        self._ends = np.cumsum([batch.num_rows for batch in self._batches])  # of each batch, in rows
        ids = np.concatenate([batch["id"].to_numpy(zero_copy_only=False) for batch in self._batches])
        self._order = np.argsort(ids.astype(str))  # files and their rows come in any order
        channels, height, width = self._row(0)["latent_shape"][0].as_py()
        self.latent: tuple[int, int, int] = (channels, height, width)

    def __len__(self) -> int:
        return len(self._order)

    def ids(self, numbers: Sequence[int]) -> list[str]:
        """The ids of rows by number."""
        return [self._row(number)["id"][0].as_py() for number in numbers]

    def take(self, numbers: Sequence[int]) -> tuple[list[str], dict[str, NDArray[np.float32]]]:
        """Names of rows by number, and their features as float32 arrays named and shaped as in step.Batch."""
        table = pa.Table.from_batches([self._row(number) for number in numbers])
        channels, height, width = self.latent
        shapes = {
            "image_moments": (2 * channels, height, width),
            "product_moments": (2 * channels, height, width),
            "mask": (1, height, width),
            "background_clip": (-1,),
            "image_clip": (-1,),
        }
        return table["name"].to_pylist(), {n: schema.unpack(table[n], n, shape) for n, shape in shapes.items()}

    def _row(self, number: int) -> pa.RecordBatch:
        place = self._order[number]
        batch = int(np.searchsorted(self._ends, place, side="right"))
        start = int(self._ends[batch]) - self._batches[batch].num_rows
        return self._batches[batch].slice(int(place) - start, 1)


def global_batch(seed: int, rows: int, step: int, size: int) -> list[int]:
    """The numbers of the rows in the global batch of a step.

    The rows come in a new random order each epoch; the batch that an epoch's last rows don't fill goes on with the
    next epoch's first.
    """
    positions = range(step * size, (step + 1) * size)
    return [int(_permutation(seed, position // rows, rows)[position % rows]) for position in positions]


@functools.lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, rows: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed_for(seed, "order", epoch)).permutation(rows)


def _batches(features: str, files: Sequence[str], columns: list[str]) -> Iterator[pa.RecordBatch]:
    for name in files:
        filesystem, path = storage.open_location(storage.join(features, name))
        with filesystem.open(path, "rb") as file:
            wanted = columns if "error" in columns else [*columns, "error"]
            yield from pq.ParquetFile(file).iter_batches(batch_size=READ_ROWS, columns=wanted)


def _usable(batch: pa.RecordBatch, kept: pa.Array | None) -> pa.RecordBatch:
    good = pc.is_null(batch["error"])
    if kept is not None:
        good = pc.and_(good, pc.is_in(batch["id"], value_set=kept))
    return batch.filter(good)


def unlink(path: str) -> None:
    """Remove the node's copy; processes that mapped it keep their view."""
    Path(path).unlink(missing_ok=True)
