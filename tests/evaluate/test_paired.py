"""Paired differences: by hand, by scipy, by drawing resamples one by one, and how often intervals hold the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from p2i_ray.errors import UserError
from p2i_ray.evaluate import paired, picture_values
from p2i_ray.evaluate.metrics import bootstrap
from p2i_ray.evaluate.metrics.cmmd import cmmd
from p2i_ray.evaluate.metrics.frechet import distance
from p2i_ray.evaluate.metrics.kid import kid
from p2i_ray.evaluate.paired import Difference, of_evaluations, of_means, of_sets
from p2i_ray.evaluate.picture_values import Side, Sides

Array = NDArray[np.float64]


def named(values: Array) -> tuple[list[str], Array]:
    return [f"{i:03d}" for i in range(len(values))], values


def sets(generated: Array, real: Array) -> Sides:
    return {"generated": Side(*named(generated)), "real": Side(*named(real))}


def test_by_hand() -> None:
    """Ids in any order; x is in one arm alone, c lacks a value with seed 7; (1 + 3) / 2 = 2 and (0 + 2) / 2 = 1."""
    a = {3: (["b", "a", "x", "c"], [5.0, 2.0, 9.0, 0.0]), 7: (["a", "b", "c"], [1.0, 4.0, np.nan])}
    b = {7: (["c", "b", "a"], [1.0, 2.0, 1.0]), 3: (["a", "b", "c"], [1.0, 2.0, 3.0])}
    found = of_means(a, b)
    assert (found.difference, found.by_seed) == (1.5, {3: 2.0, 7: 1.0})
    assert (found.pictures, found.left_out, found.seeds) == (2, 2, 2)
    # Of two products and two seeds a resample has each twice or both once: the ends are the table's least and most.
    assert (found.low, found.high) == (0.0, 3.0)
    assert not found.excludes_zero


def test_two_products_with_one_seed_by_hand() -> None:
    """Differences 1 and 2: a quarter of the resamples have 1, a quarter 2."""
    found = of_means({0: (["a", "b"], [3, 5])}, {0: (["b", "a"], [3, 2])})
    assert (found.difference, found.low, found.high, found.seeds) == (1.5, 1, 2, 1)
    assert found.excludes_zero
    assert Difference.model_validate_json(found.model_dump_json()) == found


def test_one_seed_as_scipy() -> None:
    rng = np.random.default_rng(5)
    a = rng.exponential(2, 60)
    b = 0.7 * a + rng.normal(0, 1, 60)
    found = of_means({4: named(a)}, {4: named(b)})
    expected = stats.bootstrap(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    assert found.difference == pytest.approx(np.mean(a - b))
    near = 0.15 * expected.standard_error
    assert found.low == pytest.approx(expected.confidence_interval.low, abs=near)
    assert found.high == pytest.approx(expected.confidence_interval.high, abs=near)


def test_pairing_takes_out_what_products_have_in_common() -> None:
    rng = np.random.default_rng(6)
    product = rng.normal(0, 10, 50)
    a, b = product + rng.normal(1, 0.5, 50), product + rng.normal(0, 0.5, 50)
    assert of_means({0: named(a)}, {0: named(b)}).excludes_zero
    assert not of_means({0: named(a)}, {0: named(rng.permutation(b))}).excludes_zero


def test_the_interval_holds_the_truth_19_times_in_20() -> None:
    """Of 300 simulated comparisons with 40 products; with several seeds it is wider, and never too narrow by much."""
    rng = np.random.default_rng(7)
    products, seeds, runs = 40, 8, 300
    held = {1: 0, seeds: 0}
    for _ in range(runs):
        for count in held:
            effect = 0.3 + rng.normal(0, 0.5, products) + rng.normal(0, 0.2, (count, 1)) * (count > 1)
            apart = effect + rng.normal(0, 0.3, (count, products))
            shared = rng.normal(0, 5, (count, products))
            a, b = ({s: named(one[s]) for s in range(count)} for one in (shared + apart, shared))
            found = of_means(a, b, resamples=400)
            assert found.low is not None and found.high is not None
            held[count] += found.low <= 0.3 <= found.high
    assert 0.90 <= held[1] / runs <= 0.98
    assert 0.89 <= held[seeds] / runs <= 0.99


@given(st.data())
def test_swapping_the_arms_turns_the_signs(data: st.DataObject) -> None:
    seeds, products = data.draw(st.integers(1, 3)), data.draw(st.integers(2, 6))
    value = st.floats(-1e3, 1e3, width=32)
    table = st.lists(value, min_size=products, max_size=products)
    a, b = ({seed: named(np.array(data.draw(table))) for seed in range(seeds)} for _ in range(2))
    one, other = of_means(a, b, resamples=50), of_means(b, a, resamples=50)
    assert one.low is not None and one.high is not None and other.low is not None and other.high is not None
    near = {"rel": 1e-9, "abs": 1e-9}
    assert one.difference == pytest.approx(-other.difference, **near)
    assert (one.low, one.high) == (pytest.approx(-other.high, **near), pytest.approx(-other.low, **near))
    assert one.low <= one.high


@pytest.mark.parametrize("name", ["kid", "cmmd"])
def test_sets_of_pictures_by_drawing_each_resample(name: str) -> None:
    """All resamples are drawn out picture by picture; pairs of a picture and its own copy don't count."""
    rng = np.random.default_rng(8)
    real = rng.normal(size=(11, 3))
    arms = [{seed: rng.normal(mean, 1, (12, 3)) for seed in (1, 2)} for mean in (0.5, 0.2)]
    a, b = ({seed: sets(features, real) for seed, features in arm.items()} for arm in arms)
    found = of_sets(name, a, b, resamples=30)

    metric = kid if name == "kid" else cmmd
    key = "kid" if name == "kid" else "cmmd_unbiased"
    apart = {seed: metric(arms[0][seed], real)[key] - metric(arms[1][seed], real)[key] for seed in (1, 2)}
    assert found.by_seed == pytest.approx(apart)
    assert found.difference == pytest.approx(np.mean([*apart.values()]))

    drawn = [bootstrap.weights(count, side, 30)[1:].astype(int) for count, side in ((12, 0), (11, 1), (2, 2))]
    of = paired.DISCREPANCIES[name]
    means = []
    for products, reals, seeds in zip(*drawn, strict=True):
        rows, columns = np.arange(12).repeat(products), np.arange(11).repeat(reals)
        others = rows[:, None] != rows
        there = of.prepared(real)[columns]
        values = []
        for arm in arms:
            for seed, times in zip((1, 2), seeds, strict=True):
                x = of.prepared(arm[seed])[rows]
                mmd = of.kernel(x, x)[others].mean() - 2 * of.kernel(x, there).mean()
                values.append(of.scale * times * mmd / 2)
        means.append(sum(values[:2]) - sum(values[2:]))
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))
    swapped = of_sets(name, b, a, resamples=30)
    assert (swapped.difference, swapped.low) == pytest.approx((-found.difference, -(found.high or 0)))


def test_an_arm_is_no_different_from_itself() -> None:
    rng = np.random.default_rng(9)
    arm = {seed: sets(rng.normal(size=(15, 4)), np.eye(12, 4)) for seed in (0, 1)}
    found = of_sets("kid", arm, arm)
    assert (found.difference, found.low, found.high, found.excludes_zero) == (0, 0, 0, False)


def test_frechet_distances_have_a_difference_and_no_interval() -> None:
    rng = np.random.default_rng(10)
    real, a, b = rng.normal(size=(20, 3)), rng.normal(1, 1, (20, 3)), rng.normal(0, 1, (20, 3))
    found = of_sets("fid_clean", {0: sets(a, real)}, {0: sets(b, real)})
    assert found.difference == pytest.approx(distance(a, real) - distance(b, real))
    assert (found.low, found.high, found.excludes_zero) == (None, None, False)


def test_what_can_not_be_paired() -> None:
    one = {0: (["a", "b"], [1.0, 2.0])}
    with pytest.raises(UserError, match="these have 0 and 1; evaluate both with the same"):
        of_means(one, {1: one[0]})
    with pytest.raises(UserError, match="no product in common"):
        of_means(one, {0: (["c", "d"], [1.0, 2.0])})
    with pytest.raises(UserError, match="a paired difference needs 2 pictures; there are 1 common"):
        of_means(one, {0: (["b", "d"], [1.0, 2.0])})
    with pytest.raises(UserError, match="two pictures of one evaluation have the id a"):
        of_means(one, {0: (["a", "a"], [1.0, 2.0])})
    rng = np.random.default_rng(11)
    real, generated = rng.normal(size=(12, 3)), rng.normal(size=(12, 3))
    with pytest.raises(UserError, match="other features of kid in one evaluation than in another"):
        of_sets("kid", {0: sets(generated, real)}, {0: sets(generated, -real)})
    with pytest.raises(UserError, match="kid needs 10 pictures a side; there are 9 common and 12 real"):
        of_sets("kid", {0: sets(generated[:9], real)}, {0: sets(generated, real)})


def test_folders_of_evaluations(tmp_path: Path) -> None:
    """Values where a metric has them, features where it compares sets, otherwise nothing."""
    rng = np.random.default_rng(12)
    arms: list[dict[int, str]] = []
    for arm in range(2):
        folders = {}
        for seed in (0, 1):
            folders[seed] = str(tmp_path / f"{arm}-{seed}")
            ids, values = named(rng.normal(arm, 1, 12))
            features = {"kid": sets(rng.normal(arm, 1, (12, 3)), np.eye(12, 3))}
            picture_values.write(folders[seed], ids, {"clip_c_b": values}, features)
        arms.append(folders)
    by_value, by_set = (of_evaluations(name, *arms) for name in ("clip_c_b", "kid"))
    assert by_value and by_set and by_value.by_seed.keys() == by_set.by_seed.keys() == {0, 1}
    values = [picture_values.read(arm[1], "clip_c_b") or {} for arm in arms]
    assert by_value.by_seed[1] == pytest.approx(np.mean([values[0][one] - values[1][one] for one in values[0]]))
    assert by_set.low is not None
    assert of_evaluations("fid", *arms) is None
    picture_values.clear(arms[1][0])
    assert of_evaluations("kid", *arms) is None
