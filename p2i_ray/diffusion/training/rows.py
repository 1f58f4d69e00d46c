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

from p2i_ray.config.seeds import seed_for
from p2i_ray.diffusion.features import index, schema
from p2i_ray.diffusion.features.index import FeatureIndex


def copy_to_node(features: FeatureIndex, keep: str | None) -> str:
    """Copy the kept rows to an Arrow file in this node's temporary folder; returns its path, to `unlink` once open.

    Raises:
        UserError: see index.batches.
    """
    with tempfile.NamedTemporaryFile(prefix="p2i_features_", suffix=".arrow", delete=False) as file:
        try:
            with pa.ipc.new_file(file, features.columns.features) as out:
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

    def by_size(self) -> list[NDArray[np.int64]]:
        """The numbers of the rows of each size, in the order of the sizes' shapes."""
        shapes = np.concatenate([_shapes(batch["latent_shape"]) for batch in self._batches])[self._order]
        _, size_of = np.unique(shapes, axis=0, return_inverse=True)
        return [np.flatnonzero(size_of == size) for size in range(size_of.max() + 1)]

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


def _shapes(column: pa.ListArray) -> NDArray[np.int32]:
    return np.asarray(column.flatten().to_numpy(), np.int32).reshape(len(column), -1)


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


class BatchOrder:
    """The rows in the global batch of each step: an order that depends on the seed and the rows' ids alone.

    Every batch is of rows of one size. The rows of a size come in a new random order each epoch; the batch that an
    epoch's last rows don't fill goes on with the next epoch's first. Sizes take turns by their numbers of rows. A size
    with fewer rows than a batch is left out: a row would be its own negative.
    """

    def __init__(self, seed: int, sizes: Sequence[NDArray[np.int64]], batch: int) -> None:
        """Leave out what is too few.

        Args:
            seed: of the order.
            sizes: the numbers of the rows of each size, at least one of them with as many as a batch.
            batch: rows of a global batch.
        """
        self._seed, self._batch = seed, batch
        self._sizes = [numbers for numbers in sizes if len(numbers) >= batch]
        self._turns: list[tuple[int, int]] = []  # of each step: the size, and how many batches of it came before
        self._used = [0] * len(self._sizes)

    def of_step(self, step: int) -> list[int]:
        """The numbers of the rows in the global batch of a step, in order."""
        size, before = self._turn(step)
        numbers, rows = self._sizes[size], len(self._sizes[size])
        positions = range(before * self._batch, (before + 1) * self._batch)
        # One size alone has the order that it always had.
        label = (size,) if len(self._sizes) > 1 else ()
        return [int(numbers[_permutation(self._seed, p // rows, rows, *label)[p % rows]]) for p in positions]

    def alike(self, number: int) -> NDArray[np.int64]:
        """The numbers of the rows of the same size as one that is trained on."""
        return next(numbers for numbers in self._sizes if number in numbers)

    def _turn(self, step: int) -> tuple[int, int]:
        rows = [len(numbers) for numbers in self._sizes]
        while len(self._turns) <= step:
            due = [count * (len(self._turns) + 1) / sum(rows) for count in rows]  # batches of each size by now
            size = max(range(len(rows)), key=lambda number: due[number] - self._used[number])
            self._turns.append((size, self._used[size]))
            self._used[size] += 1
        return self._turns[step]


def other_than(number: int, alike: NDArray[np.int64], *, seed: int, step: int, position: int) -> int:
    """The number of another row, at random, for one row of one step, whichever process trains it.

    Args:
        number: of the row.
        alike: numbers of at least two rows, sorted, this one among them.
        seed: of the training.
        step: number of the optimizer step.
        position: the row's in the global batch.
    """
    random = np.random.default_rng(seed_for(seed, "other", step, position))
    own = int(np.searchsorted(alike, number))
    return int(alike[(own + 1 + random.integers(len(alike) - 1)) % len(alike)])


@functools.lru_cache(maxsize=16)
def _permutation(seed: int, epoch: int, rows: int, *label: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed_for(seed, "order", epoch, *label)).permutation(rows)


def unlink(path: str) -> None:
    """Remove the node's copy; processes that mapped it keep their view."""
    Path(path).unlink(missing_ok=True)
