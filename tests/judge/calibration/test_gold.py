"""Gold scores: reading, errors, and hand-computed figures."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.errors import UserError
from p2i_ray.judge.calibration import gold


def csv(folder: Path, text: str) -> str:
    path = folder / "gold.csv"
    path.write_text(text, "utf-8")
    return str(path)


def scores(*rows: tuple[str, int | None, float | None]) -> pa.Table:
    ids, whole, expected = zip(*rows, strict=True)
    columns = {"id": ids, "score": pa.array(whole, pa.int64()), "expected_score": pa.array(expected, pa.float64())}
    return pa.table(columns)


def test_csv_and_parquet_give_the_same_scores(tmp_path: Path) -> None:
    assert gold.read(csv(tmp_path, "id,who,score\n007,ann,4\n8,bob,2.5\n")) == {"007": 4, "8": 2.5}
    pq.write_table(pa.table({"score": [4, 1], "id": ["007", "x"]}), tmp_path / "gold.parquet")
    assert gold.read(str(tmp_path / "gold.parquet")) == {"007": 4, "x": 1}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("id,score,score\na,4,5\n", r"gold\.csv: 2 columns are called score; keep one"),
        ("id,rating\na,4\n", r"lack the column score; they have id, rating$"),
        ("id,score\na,4\nb,6\n", r"row 2 \(id b\): the score is '6'; give a number from 1 to 5$"),
        ("id,score\na,0.9\n", r"row 1 \(id a\): the score is '0.9'"),
        ("id,score\na,4\nb,good\n", r"row 2 \(id b\): the score is 'good'"),
        ("id,score\na,nan\n", r"row 1 \(id a\): the score is 'nan'"),
        ("id,score\na,\n", r"row 1 \(id a\): the score is ''"),
        ("id,score\na,4\nb,3\na,4\n", r"row 3: the id a is there twice"),
        ("id,score\n,4\n", r"row 1: there is no id"),
        ("id,score\n", r"have no rows$"),
        ("", r"can't be read as CSV: "),
        ("id,score\na,4,5\n", r"can't be read as CSV: "),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(UserError, match=line) as refused:
        gold.read(csv(tmp_path, text))
    assert "gold.csv" in str(refused.value) and "\n" not in str(refused.value)


def test_no_file_and_no_parquet(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="are not there; give a Parquet or CSV file with id and score"):
        gold.read(str(tmp_path / "none.csv"))
    (tmp_path / "gold.parquet").write_bytes(b"id,score\n")
    with pytest.raises(UserError, match="can't be read"):
        gold.read(str(tmp_path / "gold.parquet"))


def test_a_null_score_in_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "score": pa.array([None], pa.int64())}), tmp_path / "gold.parquet")
    with pytest.raises(UserError, match="the score is None"):
        gold.read(str(tmp_path / "gold.parquet"))


def test_pictures_that_are_known_to_be_clean(tmp_path: Path) -> None:
    """By people's flaws where the file has them, else by the best score."""
    assert gold.read_clean(csv(tmp_path, "id,score\na,5\nb,4\nc,5.0\nd,4.9\n")) == {"a", "c"}
    assert gold.read_clean(csv(tmp_path, "id,score,flaws\n007,5,\nb,5,blur\nc,4, \n")) == {"007", "c"}
    flaws = pa.array([[], ["blur"], None], pa.list_(pa.string()))
    pq.write_table(pa.table({"id": ["a", "b", "c"], "score": [5, 4, 5], "flaws": flaws}), tmp_path / "gold.parquet")
    assert gold.read_clean(str(tmp_path / "gold.parquet")) == {"a"}


def test_hand_computed_figures() -> None:
    people = {"a": 5.0, "b": 4.0, "c": 2.0, "d": 1.0, "e": 3.0}
    judged = scores(("a", 5, 4.8), ("b", 3, 3.4), ("c", 4, 3.6), ("d", 1, 1.2), ("e", None, None))
    found = gold.agreement(people, judged, 4, "score")
    assert (found.rows, found.set_aside) == (4, 1)
    assert found.exact == 0.5
    assert found.within_one == 0.75
    assert found.same_decision == 0.5  # b is dropped, c is kept
    # Ranks of gold 4 3 2 1, of the judge 4 2 3 1: rho = 1 - 6 * 2 / (4 * 15); one of six pairs is the wrong way round.
    assert found.spearman == pytest.approx(0.8)
    assert found.kendall == pytest.approx(4 / 6)
    assert found.auc == pytest.approx(0.75)  # of (a, b) x (c, d), only b and c are the wrong way round
    # Weighted kappa 1 - sum w o / sum w e: w o = 1 + 4 = 5; with the margins, all pairs give (g - j)^2 / 4 = 76 / 4.
    assert found.kappa == pytest.approx(1 - 5 / (76 / 4))
    expected = [[0] * 5 for _ in range(5)]
    for given, by_judge in ((5, 5), (4, 3), (2, 4), (1, 1)):
        expected[given - 1][by_judge - 1] += 1
    assert found.confusion == expected
    assert [(b.low, b.high, b.rows) for b in found.reliability] == [(1, 1.25, 1), (3.25, 3.75, 2), (4.75, 5, 1)]
    assert found.reliability[1].expected == pytest.approx(3.5)
    assert found.reliability[1].gold == pytest.approx(3)


def test_the_expected_score_can_decide() -> None:
    assert gold.agreement({"a": 5.0}, scores(("a", 4, 3.9)), 4, "score").same_decision == 1
    assert gold.agreement({"a": 5.0}, scores(("a", 4, 3.9)), 4, "expected_score").same_decision == 0


def test_gold_between_whole_scores() -> None:
    found = gold.agreement({"a": 3.5, "b": 3.4}, scores(("a", 4, 4.0), ("b", 3, 3.0)), 3.5, "score")
    assert found.exact == 1
    assert found.same_decision == 1  # 3.4 is not kept, 3 is not; 3.5 is, and so is 4


@pytest.mark.parametrize(
    ("people", "judged"),
    [
        ({"a": 5.0, "b": 5.0}, scores(("a", 5, 5.0), ("b", 5, 5.0))),
        ({"a": 5.0, "b": 4.0}, scores(("a", 4, 4.0), ("b", 4, 4.0))),
        ({"a": 1.0}, scores(("a", 1, 1.0))),
        ({"a": 1.0}, scores(("a", None, None))),
    ],
)
def test_undefined_figures_are_none(people: dict[str, float], judged: pa.Table) -> None:
    found = gold.agreement(people, judged, 4, "score")
    assert found.spearman is found.kendall is found.auc is None
    assert "NaN" not in found.model_dump_json()
    if not found.rows:
        assert found.exact is found.kappa is None
        assert found.reliability == []


def test_perfect_and_reversed() -> None:
    people = {str(k): float(k) for k in range(1, 6)}
    same = gold.agreement(people, scores(*((str(k), k, float(k)) for k in range(1, 6))), 4, "score")
    assert [same.exact, same.spearman, same.kendall, same.auc, same.kappa] == pytest.approx([1] * 5)
    upside_down = gold.agreement(people, scores(*((str(k), 6 - k, 6.0 - k) for k in range(1, 6))), 4, "score")
    assert [upside_down.spearman, upside_down.kendall, upside_down.auc] == pytest.approx([-1, -1, 0])
    assert upside_down.kappa == pytest.approx(-1)
