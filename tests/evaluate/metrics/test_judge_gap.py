"""The gap between two judges, by hand."""

from __future__ import annotations

import pyarrow as pa
import pytest

from p2i_ray.evaluate.metrics import judge_gap


def critiques(*flaws: list[str] | None) -> pa.Table:
    errors = [None if one is not None else "no picture" for one in flaws]
    columns = {"flaws": pa.array(flaws, pa.list_(pa.string())), "error": pa.array(errors, pa.string())}
    return pa.table({"id": list("abcde")[: len(flaws)], **columns})


def scores(*rows: tuple[int | None, float | None]) -> pa.Table:
    whole, expected = zip(*rows, strict=True)
    columns = {"score": pa.array(whole, pa.int64()), "expected_score": pa.array(expected, pa.float64())}
    return pa.table({"id": list("abcde")[: len(rows)], **columns})


def answers(selecting: list[float | None], held_out: list[float | None]) -> pa.Table:
    """Values in which both kinds are alike."""
    columns = {
        f"{kind}_{who}": pa.array(own, pa.float64())
        for kind in judge_gap.KINDS
        for who, own in (("selecting", selecting), ("held_out", held_out))
    }
    return pa.table({"id": [f"{place:03}" for place in range(len(selecting))], **columns})


def test_answers_are_paired_by_picture() -> None:
    """Order doesn't matter; an endpoint without probabilities has whole scores."""
    selecting = critiques([], [], ["blur"], [])
    held_out = critiques([], ["blur"], ["blur"], None).take([3, 2, 1, 0])
    scored = scores((5, 4.8), (4, 4.2), (2, 2.0), (4, 3.9)), scores((4, None), (3, 3.0), (2, 2.5), (None, None))
    found = judge_gap.values((selecting, held_out), scored)
    assert found.to_pydict() == {
        "id": ["a", "b", "c", "d"],
        "available_rate_selecting": [1, 1, 0, 1],
        "available_rate_held_out": [1, 0, 0, None],
        "judge_score_selecting": [4.8, 4.2, 2.0, 3.9],
        "judge_score_held_out": [4, 3, 2.5, None],
    }
    figures = judge_gap.figures(found)  # of a, b and c
    assert figures["available_rate_selecting"] == pytest.approx(2 / 3)
    assert figures["available_rate_held_out"] == pytest.approx(1 / 3)
    assert figures["available_rate_gap"] == pytest.approx(1 / 3)
    assert 0 == figures["available_rate_gap_low"] < figures["available_rate_gap_high"] == 1
    assert figures["judge_score_gap"] == pytest.approx((0.8 + 1.2 - 0.5) / 3)
    assert (figures["available_rate_images"], figures["available_rate_left_out"]) == (3, 1)


def test_too_few_pictures_have_no_figures() -> None:
    found = judge_gap.figures(answers([1, None], [1, 0]))
    assert found == {f"{kind}_{name}": 1 for kind in judge_gap.KINDS for name in ("left_out", "images")}


def test_a_gap_that_grows_is_clear_with_enough_pictures() -> None:
    """Of 100 pictures, 10 please the selecting judge alone; then 40 do."""
    before = answers([1.0] * 50 + [0.0] * 50, [1.0] * 40 + [0.0] * 60)
    after = answers([1.0] * 80 + [0.0] * 20, [1.0] * 40 + [0.0] * 60)
    found = judge_gap.growth(before, after, "available_rate")
    assert found is not None and found.value == pytest.approx(0.3) and found.pictures == 100
    # Its standard error is sqrt(0.3 * 0.7 / 100) = 0.046.
    assert found.low == pytest.approx(0.3 - 1.96 * 0.046, abs=0.02) and found.is_clear
    assert found.high == pytest.approx(0.3 + 1.96 * 0.046, abs=0.02)


def test_a_gap_that_stays_or_is_in_doubt_is_not_clear() -> None:
    both = answers([1.0] * 60 + [0.0] * 40, [1.0] * 30 + [0.0] * 70)
    same = judge_gap.growth(both, both, "judge_score")
    assert same is not None and (same.value, same.is_clear) == (0, False)
    few = judge_gap.growth(answers([1, 0, 0], [1, 0, 0]), answers([1, 1, 0], [1, 0, 0]), "available_rate")
    assert few is not None and few.value == pytest.approx(1 / 3) and not few.is_clear
    improved = judge_gap.growth(answers([0.0] * 50, [0.0] * 50), answers([1.0] * 50, [1.0] * 50), "available_rate")
    assert improved is not None and improved.value == 0  # in both judges' eyes


def test_a_few_pictures_are_not_spoken_of() -> None:
    """All of nine became the selecting judge's alone: an interval without width, from too few pictures."""
    for pictures, is_clear in ((9, False), (10, True)):
        before, after = answers([0.0] * pictures, [0.0] * pictures), answers([1.0] * pictures, [0.0] * pictures)
        found = judge_gap.growth(before, after, "available_rate")
        assert found is not None and (found.value, found.low, found.is_clear) == (1, 1, is_clear)


def test_growth_is_of_the_pictures_that_both_rounds_have() -> None:
    assert judge_gap.growth(answers([1, 1], [1, None]), answers([1, 1], [1, 1]), "available_rate") is None
