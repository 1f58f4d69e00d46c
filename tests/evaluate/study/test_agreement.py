"""Agreement, against a published worked example and the definition by pairs."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.evaluate.study.agreement import krippendorff_alpha, same_as, same_votes

# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C: four observers, twelve units, gaps.
OBSERVERS = ("12332141 2...", "12332241 25.3", ".33323422 51.", "12332441 251.")
PUBLISHED = 0.743


def test_the_published_example() -> None:
    rows = [row.replace(" ", "") for row in OBSERVERS]
    units = [[value for value in column if value != "."] for column in zip(*rows, strict=True)]
    assert len(units) == 12
    assert krippendorff_alpha(units) == pytest.approx(PUBLISHED, abs=0.0005)


def test_by_hand() -> None:
    # Two raters, three pairs: equal, equal, different. Of 6 votes 3 are l, 3 r: 18 of 30 ordered pairs differ by
    # chance, 1 of 3 here, so that alpha is 1 - (1/3) / (18/30) = 4/9.
    assert krippendorff_alpha([["l", "l"], ["r", "r"], ["l", "r"]]) == pytest.approx(4 / 9)
    assert same_votes([["l", "l"], ["r", "r"], ["l", "r"], ["l"]]) == (2, 3)
    assert same_votes([["l", "l", "r"]]) == (1, 3)
    assert same_as([["l", "r"], ["r"], ["l"]], ["l", "r", None]) == (2, 3)


@pytest.mark.parametrize("units", [[], [["l"], ["r"]], [["l", "l"], ["l", "l"]]])
def test_what_says_nothing_has_no_alpha(units: list[list[str]]) -> None:
    assert krippendorff_alpha(units) is None


@given(st.lists(st.lists(st.sampled_from("lnr"), max_size=4), max_size=12))
def test_the_definition_by_pairs(units: list[list[str]]) -> None:
    paired = [unit for unit in units if len(unit) > 1]
    values = [value for unit in paired for value in unit]
    chance = [one != other for one, other in itertools.permutations(values, 2)]
    if not any(chance):
        assert krippendorff_alpha(units) is None
        return
    within = sum(
        (one != other) / (len(unit) - 1) for unit in paired for one, other in itertools.permutations(unit, 2)
    ) / len(values)
    assert krippendorff_alpha(units) == pytest.approx(1 - within / (sum(chance) / len(chance)))
