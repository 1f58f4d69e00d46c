"""The feature files as a map from position to row, in an order that depends on the seed and on nothing else.

A training process needs rows in random order; Parquet is read in order. So the kept rows are copied once a node into
an uncompressed Arrow file that its processes map into memory: the operating system shares the pages and drops them
when memory is short.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from p2i_ray.diffusion.features import index, schema
from p2i_ray.diffusion.features.index import FeatureIndex
from p2i_ray.storage.locations import seed_for


def copy_to_node(features: FeatureIndex, keep: str | None) -> str:
    """Copy the kept rows to an Arrow file in this node's temporary folder; returns its path, to `unlink` once open.

    Raises:
        UserError: see index.batches.
    """
    with tempfile.NamedTemporaryFile(prefix="p2i_features_", suffix=".arrow", delete=False) as file:
        try:
            with pa.ipc.new_file(file, schema.FEATURES) as out:
                for batch in index.batches(features, keep):
                    out.write_batch(batch)
        except BaseException:
            unlink(file.name)
            raise
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

    def __len__(self) -> int:
        return len(self._order)

    def ids(self, numbers: Sequence[int]) -> list[str]:
        """The ids of rows by number."""
        return [self._row(number)["id"][0].as_py() for number in numbers]

    def table(self, numbers: Sequence[int]) -> pa.Table:
        """Rows by number, in that order, with a column `number`."""
        table = pa.Table.from_batches([self._row(number) for number in numbers])
        return table.append_column("number", pa.array(numbers, pa.int64()))

    def _row(self, number: int) -> pa.RecordBatch:
        place = self._order[number]
        batch = int(np.searchsorted(self._ends, place, side="right"))
        start = int(self._ends[batch]) - self._batches[batch].num_rows
        return self._batches[batch].slice(int(place) - start, 1)


def unpack(table: pa.Table) -> dict[str, NDArray[np.float32]]:
    """The features of B rows as float32 arrays, named and shaped as in step.Batch."""
    channels, height, width = latent_shape(table)
    shapes = {
        "image_moments": (2 * channels, height, width),
        "product_moments": (2 * channels, height, width),
        "mask": (1, height, width),
        "background_clip": (-1,),
        "image_clip": (-1,),
    }
    return {name: schema.unpack(table[name], name, shape) for name, shape in shapes.items()}


def latent_shape(table: pa.Table) -> tuple[int, int, int]:
    """(channels, height, width) of the rows' latents, the same in all."""
    channels, height, width = table["latent_shape"][0].as_py()
    return channels, height, width


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


def unlink(path: str) -> None:
    """Remove the node's copy; processes that mapped it keep their view."""
    Path(path).unlink(missing_ok=True)
