"""Call a function on slices of rows on the workers; a row that ends its process is found, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast, overload

from p2i_ray.cluster import placement, root_cause
from p2i_ray.cluster.resources import StepResources
from p2i_ray.errors import WorkerDiedError

if TYPE_CHECKING:
    import pyarrow as pa

SUSPECTS = 16  # slices that may have been at work when a process ended; each is run by itself then
MOST_KILLERS = 8  # rows that may end their process; with more, it isn't the rows


class Slices(Sequence["pa.Table"]):
    """Slices of rows, each made when it is asked for, so that not all are there at once.

    Args:
        number: of slices.
        make: makes the slice of a number.
    """

    def __init__(self, number: int, make: Callable[[int], pa.Table]) -> None:
        self._numbers, self._make = range(number), make

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> pa.Table: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[pa.Table]: ...
    def __getitem__(self, place: int | slice) -> pa.Table | Sequence[pa.Table]:
        if isinstance(place, slice):
            return [self._make(number) for number in self._numbers[place]]
        return self._make(self._numbers[place])


class Run(Protocol):
    """Calls the function on slices, and yields what it returns for each, in any order."""

    def __call__(self, slices: Sequence[pa.Table], *, alone: bool) -> Iterator[pa.Table]:
        """With `alone` there is one slice, and it is tried once."""
        ...


def run(
    slices: Sequence[pa.Table],
    function: Callable[..., pa.Table] | type[Any],
    need: StepResources,
    *,
    alone: bool = False,
    **arguments: Any,
) -> Iterator[pa.Table]:
    """Call a function, or actors, on the workers, once for each slice; yields what is returned as it is done.

    Args:
        slices: of rows; each is one task.
        function: takes a slice and the arguments; a class's instances are called, and keep what they have loaded.
        need: the resources of a task.
        alone: a task whose process dies is not tried again.
        arguments: the function's others.
    """
    import ray
    import ray.data

    if not len(slices):
        return
    # Each actor loads the network once; there are as many as the cluster has room for, but no more than slices.
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=len(slices)) if isinstance(function, type) else None
    placement.wait_for(need)
    options = need.bundle.actor_options() if pool else need.bundle.task_options()
    if alone:
        options |= {"max_task_retries": 0, "max_restarts": 0} if pool else {"max_retries": 0}
    puts: Any = [ray.put(one) for one in slices]  # each is made, and gone from here, before the next
    results = ray.data.from_arrow_refs(puts).map_batches(
        function, fn_kwargs=arguments, compute=pool, batch_format="pyarrow", batch_size=None, **options
    )
    for batch in results.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield cast("pa.Table", batch)


def run_all(slices: Sequence[pa.Table], run: Run, set_aside: Callable[[pa.Table], pa.Table]) -> Iterator[pa.Table]:
    """Run every slice; what is yielded has the column `row` of each slice's rows.

    Where a process dies over and over, the slices that may have been at work are run one at a time and halved, until
    the row is alone that ends its process: it is set aside.

    Args:
        slices: with a column `row`, unique over all slices.
        run: calls the function.
        set_aside: makes the report of a row that ends its process.

    Raises:
        WorkerDiedError: more rows than a few end their process.
    """
    left, killers = {_first(one): place for place, one in enumerate(slices)}, 0
    while left:
        try:
            for report in run(_some(slices, [*left.values()]), alone=False):
                _take(left, report)
                yield report
            return
        except Exception as error:
            if root_cause.death_line(error) is None and root_cause.memory_line(error) is None:
                raise
        suspects = [slices[left.pop(first)] for first in [*left][:SUSPECTS]]
        while suspects:
            one = suspects.pop()
            try:
                yield from run([one], alone=True)
                continue
            except Exception as error:
                line = root_cause.death_line(error) or root_cause.memory_line(error)
                if line is None:
                    raise
            if one.num_rows > 1:
                half = one.num_rows // 2
                suspects += [one.slice(half).combine_chunks(), one.slice(0, half).combine_chunks()]
                continue
            killers += 1
            if killers > MOST_KILLERS:
                raise WorkerDiedError(f"making samples: each of {killers} rows ended its process ({line})")
            yield set_aside(one)


def _some(slices: Sequence[pa.Table], places: Sequence[int]) -> Slices:
    return Slices(len(places), lambda number: slices[places[number]])


def _first(one: pa.Table) -> int:
    return int(one["row"][0].as_py())


def _take(left: dict[int, int], report: pa.Table) -> None:
    """Take the slices off that a report is of."""
    for row in report["row"].to_pylist():
        left.pop(row, None)
