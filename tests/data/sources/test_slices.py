"""Slices of rows on the workers, and rows that end their process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pytest
from ray.exceptions import WorkerCrashedError

from p2i_ray.cluster.resources import ResourceSpec, StepResources
from p2i_ray.data.sources import slices
from p2i_ray.errors import WorkerDiedError

NEED = StepResources("ingest", count=1, bundle=ResourceSpec(cpus=0.5), around=(), lower=())


def rows(count: int, size: int) -> list[pa.Table]:
    whole = pa.table({"row": range(count)})
    return [whole.slice(start, size) for start in range(0, count, size)]


def set_aside(row: pa.Table) -> pa.Table:
    return row.append_column("reason", pa.array(["killer"] * row.num_rows))


def done(batch: pa.Table) -> pa.Table:
    return batch.append_column("reason", pa.array([None] * batch.num_rows, pa.string()))


class Stub:
    """Runs slices in order; one with a killing row ends the run, as Ray Data does."""

    def __init__(self, *killers: int) -> None:
        self.killers, self.calls = set(killers), 0

    def __call__(self, found: Sequence[pa.Table], *, alone: bool) -> Iterator[pa.Table]:
        self.calls += 1
        assert not alone or len(found) == 1
        for one in found:
            if self.killers & set(one["row"].to_pylist()):
                raise WorkerCrashedError
            yield done(one)


@pytest.mark.parametrize("killers", [[], [0], [77], [5, 6, 99]])
def test_every_row_comes_out_once_and_killers_with_a_reason(killers: list[int]) -> None:
    stub = Stub(*killers)
    table = pa.concat_tables([*slices.run_all(rows(100, 7), stub, set_aside)]).sort_by("row")
    assert table["row"].to_pylist() == [*range(100)]
    reasons = table["reason"].to_pylist()
    assert [row for row in range(100) if reasons[row]] == killers
    assert stub.calls <= 1 + len(killers) * (slices.SUSPECTS + 2 * 3 + 1)


def test_where_every_row_ends_its_process_it_is_not_the_rows() -> None:
    with pytest.raises(WorkerDiedError, match="each of 9 rows ended its process"):
        list(slices.run_all(rows(100, 7), Stub(*range(100)), set_aside))


def test_other_errors_are_raised_at_once() -> None:
    def fails(found: Sequence[pa.Table], *, alone: bool) -> Iterator[pa.Table]:
        yield from map(done, found[:1])
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(slices.run_all(rows(9, 3), fails, set_aside))


@pytest.mark.slow
def test_on_workers_the_row_is_found(ray_cluster: None) -> None:
    def run(found: Sequence[pa.Table], *, alone: bool) -> Iterator[pa.Table]:
        return slices.run(found, end_at_5, NEED, alone=alone)

    table = pa.concat_tables([*slices.run_all(rows(8, 4), run, set_aside)]).sort_by("row")
    assert table["row"].to_pylist() == [*range(8)]
    assert table["reason"].to_pylist() == [None] * 5 + ["killer"] + [None] * 2


def end_at_5(batch: pa.Table) -> pa.Table:
    if 5 in batch["row"].to_pylist():
        os.kill(os.getpid(), signal.SIGKILL)
    return done(batch)
