"""The interface of metrics: they take batches of both sides, and give their figures at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from p2i_ray.errors import UserError
from p2i_ray.evaluate.metrics import bootstrap
from p2i_ray.evaluate.metrics.batch import Batch, Features, MeasuredImages

Figures = dict[str, float]
Compare = Callable[[Features, Features], Figures]  # generated (N, D) and real (M, D)


class Metric(Protocol):
    """A metric of a whole set of pictures."""

    def add_real(self, batch: Batch) -> None:
        """Add real pictures."""
        ...

    def add_generated(self, batch: Batch) -> None:
        """Add generated rows."""
        ...

    def figures(self) -> Figures:
        """The metric by its name, and the ends of its 95 % interval as NAME_low and NAME_high.

        Raises:
            UserError: too few pictures; the line says how many it needs.
        """
        ...


class MeanOfValues(ABC):
    """The mean of a value of each generated row, however it comes about.

    Args:
        name: of the metric.
        share: whether each value is 1 or 0; see bootstrap.of_share.
    """

    fewest = 2

    def __init__(self, name: str, *, share: bool = False) -> None:
        self._name, self._interval = name, bootstrap.of_share if share else bootstrap.of_mean

    @property
    @abstractmethod
    def values(self) -> NDArray[np.float64]:
        """The value of each row, (N,), in the order in which they came; NaN where a row has none: it is left out."""

    def figures(self) -> Figures:
        """See Metric; also NAME_left_out, the rows without a value, where there are any."""
        every = bootstrap.ordered([self.values])
        values = every[~np.isnan(every)]
        enough(self._name, self.fewest, generated=len(values))
        left_out = {f"{self._name}_left_out": float(len(every) - len(values))} if len(values) < len(every) else {}
        return self._interval(self._name, values) | left_out


class PictureMean(MeanOfValues):
    """The mean of a value that each generated row has by itself.

    Args:
        name: of the metric.
        values: of the rows of a batch; NaN where a row has none.
        share: as of MeanOfValues.
    """

    def __init__(self, name: str, values: Callable[[Batch], NDArray[np.float64]], *, share: bool = False) -> None:
        super().__init__(name, share=share)
        self._values = values
        self._found: list[NDArray[np.float64]] = []

    def add_real(self, batch: Batch) -> None:
        """Real pictures don't count."""

    def add_generated(self, batch: Batch) -> None:
        """See Metric."""
        self._found.append(self._values(batch))

    @property
    def values(self) -> NDArray[np.float64]:
        """See MeanOfValues."""
        return np.concatenate([np.empty(0), *self._found])


def each_row(value: Callable[[MeasuredImages], float]) -> Callable[[Batch], NDArray[np.float64]]:
    """A function of rows as one of batches."""
    return lambda batch: np.array([value(row) for row in batch.rows], np.float64)


class TwoSides:
    """The features of both sides, which are compared at the end.

    Args:
        name: of the metric.
        fewest: pictures a side that it needs.
        features: of a batch, (B, D).
        compare: generated (N, D) and real (M, D) features to figures.
    """

    def __init__(
        self,
        name: str,
        fewest: int,
        *,
        features: Callable[[Batch], Features],
        compare: Compare,
    ) -> None:
        self._name, self._fewest, self._features, self._compare = name, fewest, features, compare
        self._generated: list[Features] = []
        self._real: list[Features] = []

    def add_real(self, batch: Batch) -> None:
        """See Metric."""
        self._real.append(self._features(batch))

    def add_generated(self, batch: Batch) -> None:
        """See Metric."""
        self._generated.append(self._features(batch))

    @property
    def features(self) -> tuple[Features, Features]:
        """Those of generated pictures (N, D) and of real ones (M, D), in the order in which they came."""
        return np.concatenate(self._generated), np.concatenate(self._real)

    def figures(self) -> Figures:
        """See Metric."""
        enough(self._name, self._fewest, generated=_count(self._generated), real=_count(self._real))
        return self._compare(bootstrap.ordered(self._generated), bootstrap.ordered(self._real))


def enough(name: str, fewest: int, **there: int) -> None:
    """Check the number of pictures.

    Args:
        name: of the metric.
        fewest: pictures that it needs on each side.
        **there: the pictures by side.

    Raises:
        UserError: there are fewer.
    """
    if min(there.values()) < fewest:
        sides = " and ".join(f"{count} {side}" for side, count in there.items())
        a_side = " a side" if len(there) > 1 else ""
        raise UserError(f"{name} needs {fewest} pictures{a_side}; there are {sides}")


def _count(batches: list[Features]) -> int:
    return sum(map(len, batches))


def blocks(count: int, size: int) -> Iterator[slice]:
    """Slices of so many rows."""
    return (slice(start, min(count, start + size)) for start in range(0, count, size))
