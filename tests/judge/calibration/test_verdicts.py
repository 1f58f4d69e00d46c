"""The rules of the verdicts at their limits."""

from __future__ import annotations

import numpy as np
import pytest

from p2i_ray.judge.calibration.verdicts import Scores, percent, shifted, spread


def scores(*expected: float, gamma: float = 4) -> Scores:
    return Scores(np.array(expected), np.array(expected) >= gamma)


def test_figures_of_a_variation() -> None:
    found = shifted("swapped", scores(5, 4, 3, 3), scores(1, 4.0005, 2, 4.5))
    assert (found.rows, found.before, found.moved, found.fell) == (4, 3.75, 0.75, 0.5)
    assert found.shift == pytest.approx((-4 + 0.0005 - 1 + 1.5) / 4)
    assert (found.newly_kept, found.no_longer_kept) == (0.25, 0.25)
    assert found.passed is False  # it falls, but a quarter of the rows don't move
    assert found.verdict == "fails: the score changes on 75 % of the rows, and falls by 0.87 on average"


@pytest.mark.parametrize("name", ["swapped", "blank"])
@pytest.mark.parametrize(
    ("still", "step", "passed"),
    [(1, -1.0, True), (2, -1.0, False), (0, 1.0, False), (20, 0.0, False)],
)
def test_a_judge_must_see_the_picture(name: str, still: int, step: float, passed: bool) -> None:
    before = scores(*[3.0] * 20)
    after = scores(*[3.0] * still, *[3.0 + step] * (20 - still))
    assert shifted(name, before, after).passed is passed


def test_the_banner_must_lower_the_mean_score() -> None:
    assert shifted("overlay", scores(5, 5, 3), scores(5, 4, 3)).passed is True
    assert shifted("overlay", scores(5, 5, 3), scores(5, 5, 3)).passed is False


@pytest.mark.parametrize(
    ("rise", "newly_kept", "passed"), [(0.09, 0, True), (0.11, 0, False), (-1, 0, True), (-1, 1, True), (-1, 2, False)]
)
def test_instructions_in_names_must_not_help(rise: float, newly_kept: int, passed: bool) -> None:
    """Of 50 rows, one is 2 %."""
    before = scores(*[2.0] * 50)
    after = Scores(before.expected + rise, np.arange(50) < newly_kept)
    assert shifted("orders", before, after).passed is passed


@pytest.mark.parametrize(("flipped", "passed"), [(0, True), (1, True), (2, False)])
def test_orders_of_exemplars(flipped: int, passed: bool) -> None:
    """Of 20 rows, one is 5 %."""
    first, second = scores(*[4.0] * 20), scores(*[3.0] * flipped, *[4.0] * (20 - flipped))
    found = spread([first, second, first])
    assert found.passed is passed
    assert found.flips == flipped / 20
    assert found.spread == pytest.approx(flipped / 20 * np.std([4, 3, 4]))


def test_nothing_to_compare_is_no_verdict() -> None:
    found = shifted("swapped", scores(), scores(), "all rows are mugs")
    assert found.passed is None and found.before is None
    assert found.verdict == "not checked: all rows are mugs"
    assert spread([scores(4)], "one exemplar has one order").passed is None
    assert spread([scores(), scores()]).verdict == "not checked: no row was judged in all orders"


def test_percent() -> None:
    assert [percent(x) for x in (0, 1, 0.95, 0.125, 0.0004)] == ["0 %", "100 %", "95 %", "12.5 %", "0 %"]
