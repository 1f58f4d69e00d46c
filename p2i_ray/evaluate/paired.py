"""Paired differences of two arms: the same products, painted by each with the same seeds.

What a product or a seed does to both arms alike cancels, so that the interval of a difference is narrower than those of
the arms suggest. Intervals are percentiles of a two-level bootstrap: a resample draws as many seeds as there are, with
replacement, and as many products, the same ones for both arms and all of its seeds (the pigeonhole bootstrap, Owen
2007, which errs on the wide side where products and seeds interact). With one seed products alone are drawn: the
interval then says nothing about other seeds. With few seeds that differ much it is too narrow: docs/training.md says by
how much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from p2i_ray.errors import UserError
from p2i_ray.evaluate import picture_values
from p2i_ray.evaluate.metrics import bootstrap, cmmd, frechet, kid, mmd
from p2i_ray.evaluate.metrics.batch import Features, normalised
from p2i_ray.evaluate.metrics.metric import enough
from p2i_ray.evaluate.picture_values import GENERATED, REAL, Side, Sides

RESAMPLES = 2000
FEWEST = 2  # pictures
PRODUCTS, REALS, SEEDS = range(3)  # of which the bootstrap draws

Values = Mapping[int, tuple[Sequence[str], Sequence[float] | NDArray[np.float64]]]  # ids and values, by seed
Sets = Mapping[int, Sides]  # features of both sides, by seed
Array = NDArray[np.float64]
Found = TypeVar("Found")


class Difference(BaseModel):
    """The difference of two arms, a - b, and its 95 % interval."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    difference: float  # the mean over seeds, and of values also over products
    low: float | None  # none: the metric has no interval
    high: float | None
    by_seed: dict[int, float]
    pictures: int  # products that both arms have with every seed
    left_out: int  # products that not both have with every seed
    seeds: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0; False where there is none."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


class Discrepancy(NamedTuple):
    """A metric that is a multiple of MMD^2, unbiased."""

    kernel: mmd.Kernel
    prepared: Callable[[Features], Features]
    scale: float


DISCREPANCIES = {
    "kid": Discrepancy(kid.cubic, lambda features: features, 1),
    "cmmd": Discrepancy(cmmd.gaussian, normalised, cmmd.SCALE),
}


def of_evaluations(name: str, a: Mapping[int, str], b: Mapping[int, str]) -> Difference | None:
    """The difference of two arms by a metric; none: an evaluation has neither values nor features of it.

    Args:
        name: of the metric.
        a: the arm's evaluations, by seed: folders of jobs/evaluate.py.
        b: those of the arm that it is compared with.

    Raises:
        UserError: see `of_means` and `of_sets`.
    """
    values = [_read(picture_values.read, name, arm) for arm in (a, b)]
    if values[0] is not None and values[1] is not None:
        pairs = [{seed: (list(found), list(found.values())) for seed, found in arm.items()} for arm in values if arm]
        return of_means(*pairs)
    sets = [_read(picture_values.read_features, name, arm) for arm in (a, b)]
    return of_sets(name, sets[0], sets[1]) if sets[0] is not None and sets[1] is not None else None


def _read(read: Callable[[str, str], Found | None], name: str, arm: Mapping[int, str]) -> dict[int, Found] | None:
    """Values of a metric for each evaluation of an arm; none: one has nothing."""
    found = {seed: read(folder, name) for seed, folder in arm.items()}
    there = {seed: one for seed, one in found.items() if one is not None}
    return there if len(there) == len(found) else None


def of_means(a: Values, b: Values, *, resamples: int = RESAMPLES) -> Difference:
    """The difference of two arms by a metric that is a mean of pictures' values.

    Args:
        a: ids (N,) and values (N,) by seed; NaN: the picture has none.
        b: the same of the arm that it is compared with.
        resamples: of the bootstrap.

    Raises:
        UserError: the arms have other seeds, fewer than two pictures in common, or a picture twice.
    """
    seeds = _seeds(a, b)
    sides = [_valued(*arm[seed]) for seed in seeds for arm in (a, b)]
    ids, left_out = _common(sides)
    enough("a paired difference", FEWEST, common=len(ids))
    taken = np.stack([_taken(side, ids) for side in sides]).reshape(len(seeds), 2, len(ids))
    apart = taken[:, 0] - taken[:, 1]  # (S, N)
    found = bootstrap.weights(len(ids), PRODUCTS, resamples) @ apart.T / len(ids)  # (1 + resamples, S)
    return _difference(seeds, found, pictures=len(ids), left_out=left_out)


def of_sets(name: str, a: Sets, b: Sets, *, resamples: int = RESAMPLES) -> Difference:
    """The difference of two arms by a metric that compares their pictures with real ones.

    kid and cmmd, here the unbiased estimate of both, have an interval: the real pictures are drawn, too, and a picture
    that was drawn twice is not paired with itself. Frechet distances have none: a resample has fewer different
    pictures, which alone makes them larger.

    Args:
        name: kid, cmmd, or a Frechet distance.
        a: features of both sides by seed.
        b: the same of the arm that it is compared with.
        resamples: of the bootstrap.

    Raises:
        UserError: the arms have other seeds, too few pictures in common, a picture twice, or features of another
            encoder.
    """
    seeds = _seeds(a, b)
    arms = [arm[seed] for seed in seeds for arm in (a, b)]
    ids, left_out = _common([sides[GENERATED] for sides in arms])
    reals, _ = _common([sides[REAL] for sides in arms])
    enough(f"a paired difference of {name}", mmd.FEWEST, common=len(ids), real=len(reals))
    real = _same([_taken(sides[REAL], reals) for sides in arms], name)
    pictures = [_taken(sides[GENERATED], ids) for sides in arms]
    if name in DISCREPANCIES:
        own = [bootstrap.weights(len(ids), PRODUCTS, resamples), bootstrap.weights(len(reals), REALS, resamples)]
        found = np.stack([_to_real(DISCREPANCIES[name], one, real, own) for one in pictures], axis=1)
    else:
        found = np.array([[frechet.distance(one, real) for one in pictures]])
    return _difference(seeds, found[:, ::2] - found[:, 1::2], pictures=len(ids), left_out=left_out)


def _to_real(metric: Discrepancy, pictures: Features, real: Features, own: list[Array]) -> Array:
    """The metric, (1 + resamples,), without the real pictures' own part, which both arms share."""
    x, y = metric.prepared(pictures), metric.prepared(real)
    within = mmd.mean_within(x, metric.kernel, own[0])
    return metric.scale * (within - 2 * mmd.mean_across(x, y, metric.kernel, own))


def _difference(seeds: Sequence[int], found: Array, *, pictures: int, left_out: int) -> Difference:
    """The result.

    Args:
        seeds: S.
        found: (1 + resamples, S): each seed's difference, the first row of all products as they are; one row: there is
            no interval.
        pictures: in common.
        left_out: the others.
    """
    drawn = bootstrap.weights(len(seeds), SEEDS, len(found) - 1)
    means = (drawn * found).sum(1) / len(seeds)
    ends = bootstrap.interval("", means) if len(means) > 1 else {}
    return Difference(
        difference=float(means[0]),
        low=ends.get("_low"),
        high=ends.get("_high"),
        by_seed=dict(zip(seeds, found[0].tolist(), strict=True)),
        pictures=pictures,
        left_out=left_out,
        seeds=len(seeds),
    )


def _seeds(a: Mapping[int, object], b: Mapping[int, object]) -> list[int]:
    """The seeds of both arms, in order."""
    if not a or a.keys() != b.keys():
        one, other = (", ".join(map(str, sorted(arm))) or "none" for arm in (a, b))
        raise UserError(f"arms are paired by seeds, and these have {one} and {other}; evaluate both with the same")
    return sorted(a)


def _valued(ids: Sequence[str], values: Sequence[float] | Array) -> Side:
    """The pictures that have a value."""
    every = np.asarray(values, np.float64)
    there = ~np.isnan(every)
    return Side([one for one, has in zip(ids, there, strict=True) if has], every[there])


def _common(sides: Sequence[Side]) -> tuple[list[str], int]:
    """The ids that all sides have, in order, and the number of others."""
    every = [set(side.ids) for side in sides]
    for side, own in zip(sides, every, strict=True):
        if len(own) < len(side.ids):
            twice = next(one for one in side.ids if list(side.ids).count(one) > 1)
            raise UserError(f"two pictures of one evaluation have the id {twice}; give each product an id of its own")
    common = set.intersection(*every)
    if not common:
        raise UserError("the evaluations have no product in common; evaluate both on the same split")
    return sorted(common), len(set.union(*every)) - len(common)


def _taken(side: Side, ids: Sequence[str]) -> Array:
    """The side's values, or features, in the order of these ids."""
    place = {one: number for number, one in enumerate(side.ids)}
    taken: Array = np.asarray(side.features, np.float64)[[place[one] for one in ids]]
    return taken


def _same(reals: Sequence[Features], name: str) -> Features:
    """The features of the real pictures, which all evaluations have alike but for rounding."""
    first = reals[0]
    for other in reals[1:]:
        if other.shape != first.shape or not np.allclose(other, first, rtol=1e-2, atol=1e-2 * np.abs(first).max()):
            raise UserError(
                f"the real pictures have other features of {name} in one evaluation than in another; measure both alike"
            )
    return first
