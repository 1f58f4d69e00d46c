"""From feature shards to each training process: Ray Data streams every step's rows to the worker that trains them.

The order is that of rows.BatchOrder: it depends on the seed and the rows' ids alone. One actor has the rows mapped
into memory and cuts the order into blocks, several steps of one worker each; Ray Train's split then hands the blocks
out in turn. Workers check that what arrives is what they are due.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import ray.data
import ray.train
from ray.data.collate_fn import ArrowBatchCollateFn
from ray.train import DataConfig

from p2i_ray.cluster.resources import ResourceSpec
from p2i_ray.diffusion.features import index
from p2i_ray.diffusion.training import rows
from p2i_ray.storage import locations

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from ray.data import DataIterator, Dataset

    from p2i_ray.diffusion.features.index import FeatureIndex

    Collate = Callable[[pa.Table], dict[str, torch.Tensor]]

DATASET = "rows"  # its name in Ray Train
BLOCK_BYTES = 16 * 2**20  # of a block: far below the size at which Ray Data would split it
BLOCK_STEPS = 32  # a small block's


@dataclass(frozen=True, kw_only=True)
class SampleSchedule:
    """The rows of each step.

    Attributes:
        features: where the rows' features are.
        keep: location of the list of ids; none: all.
        seed: of the order.
        batch: rows of a global batch.
        steps: of the whole training.
        row_bytes: size of a row's features, about.
        note: location of a small file to which the first worker writes the step from which it needs rows.
        others: whether each row comes with another one's `picture`, as `other`; see rows.other_than.
    """

    features: FeatureIndex
    keep: str | None
    seed: int
    batch: int
    steps: int
    row_bytes: int
    note: str
    others: bool = False

    def ids(self, numbers: torch.Tensor) -> list[str]:
        """The ids of rows by number, in that order; reads the index, so for what is seldom said."""
        known = index.ids(self.features, self.keep)
        return [known[number].as_py() for number in numbers.flatten().tolist()]

    def start_from(self, step: int) -> None:
        """Set the first step, 0 or a checkpoint's; the first worker does it before any takes rows."""
        locations.write_text(self.note, str(step))


class ScheduledIngest(DataConfig):
    """Ray Train's hook: makes the stream anew for each group of workers, however many they are."""

    def __init__(self, schedule: SampleSchedule) -> None:
        super().__init__(execution_options=_in_order(), enable_shard_locality=False)
        self._schedule = schedule

    def configure(
        self, datasets: dict[str, Dataset], world_size: int, *args: Any, **kwargs: Any
    ) -> list[dict[str, DataIterator]]:
        """A worker's blocks each; what `datasets` holds is only the name."""
        first = int(locations.read_text(self._schedule.note))
        stream = blocks(self._schedule, world_size, first)
        return super().configure(dict.fromkeys(datasets, stream), world_size, *args, **kwargs)


class WorkerStream:
    """This worker's rows, read in a thread: the stream starts while the process still imports its libraries."""

    def __init__(self, schedule: SampleSchedule, prefetch: int) -> None:
        """Start to read from the newest checkpoint's step on, or from the first.

        Args:
            schedule: of the rows.
            prefetch: batches that wait ready.
        """
        context = ray.train.get_context()
        checkpoint = ray.train.get_checkpoint()
        if context.get_world_rank() == 0:
            schedule.start_from(checkpoint.get_metadata()["steps"] if checkpoint else 0)
        self._collate: Future[Collate] = Future()
        self._share, self._prefetch = schedule.batch // context.get_world_size(), prefetch
        self._opened: Future[tuple[dict[str, torch.Tensor], Iterator[dict[str, torch.Tensor]]]] = Future()
        threading.Thread(target=self._open, name="first rows", daemon=True).start()

    def batches(self, collate: Collate) -> Iterator[dict[str, torch.Tensor]]:
        """The worker's part of every step, in order, on its device; `collate` makes tensors of rows, in threads."""
        self._collate.set_result(collate)
        first, others = self._opened.result()
        yield first
        yield from others

    def _open(self) -> None:
        try:
            others = iter(
                ray.train.get_dataset_shard(DATASET).iter_torch_batches(
                    batch_size=self._share, collate_fn=_DeferredCollate(self._collate), prefetch_batches=self._prefetch
                )
            )
            self._opened.set_result((next(others), others))
        except BaseException as error:  # raised where the rows are taken
            self._opened.set_exception(error)


class _DeferredCollate(ArrowBatchCollateFn):
    """A collate function that waits until it is known."""

    def __init__(self, known: Future[Collate]) -> None:
        self._known = known

    def __call__(self, batch: pa.Table) -> dict[str, torch.Tensor]:  # type: ignore[override]  # one kind of what may be
        return self._known.result()(batch)


def placeholder() -> dict[str, Dataset]:
    """A dataset for the trainer, which ScheduledIngest replaces."""
    return {DATASET: ray.data.range(1)}


def blocks(schedule: SampleSchedule, workers: int, first: int) -> Dataset:
    """All blocks from a step on, those of the first steps first, worker by worker."""
    import pyarrow as pa

    each = max(1, min(BLOCK_STEPS, BLOCK_BYTES * workers // (schedule.batch * schedule.row_bytes)))
    parts = [(step, worker) for step in range(first, schedule.steps, each) for worker in range(workers)]
    asked = [pa.table({"first": [step], "worker": [worker]}) for step, worker in parts]
    # Not from_arrow: it counts rows in tasks of one CPU each, and training may have taken all there are.
    found: Dataset = ray.data.from_blocks(asked).map_batches(
        _Reader,
        fn_constructor_kwargs={"schedule": schedule, "workers": workers, "steps_per_block": each},
        compute=ray.data.ActorPoolStrategy(size=1),
        batch_size=None,
        batch_format="pyarrow",
        **ResourceSpec().actor_options(),
    )
    return found


class _Reader:
    """The actor: the kept rows in a file of its node, mapped into memory."""

    def __init__(self, *, schedule: SampleSchedule, workers: int, steps_per_block: int) -> None:
        self._schedule, self._share, self._steps = schedule, schedule.batch // workers, steps_per_block
        self._opened: tuple[rows.Rows, rows.BatchOrder] | None = None

    def __call__(self, asked: pa.Table) -> Iterator[pa.Table]:
        for first, worker in zip(asked["first"].to_pylist(), asked["worker"].to_pylist(), strict=True):
            for step in range(first, min(first + self._steps, self._schedule.steps)):
                yield self._of_step(step, worker)

    def _open(self) -> tuple[rows.Rows, rows.BatchOrder]:
        if self._opened is None:  # not when the actor starts: what is wrong with a shard should arrive as such
            path = rows.copy_to_node(self._schedule.features, self._schedule.keep)
            found = rows.Rows(path)
            self._opened = found, rows.BatchOrder(self._schedule.seed, found.by_size(), self._schedule.batch)
            rows.unlink(path)  # mapped: nothing is left behind, however this process ends
        return self._opened

    def _of_step(self, step: int, worker: int) -> pa.Table:
        import pyarrow as pa

        found, order = self._open()
        share = self._share
        mine = order.of_step(step)[worker * share : (worker + 1) * share]
        table = found.table(mine)
        if self._schedule.others:
            positions = range(worker * share, (worker + 1) * share)
            others = [
                rows.other_than(number, order.alike(number), seed=self._schedule.seed, step=step, position=position)
                for number, position in zip(mine, positions, strict=True)
            ]
            table = table.append_column("other", found.table(others)["picture"])
        table = table.append_column("step", pa.array(np.full(share, step)))
        return table.append_column("position", pa.array(np.arange(worker * share, (worker + 1) * share)))


def _in_order() -> Any:
    """The driver's own options, and rows in order. DataConfig.default_ingest_options would name a deprecated one."""
    from ray.data import DataContext

    options = copy.copy(DataContext.get_current().execution_options)
    options.preserve_order = True
    return options
