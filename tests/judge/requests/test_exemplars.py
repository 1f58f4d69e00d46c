"""Exemplars from files and folders, and the choice of the next round's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2i_ray.config import ImageConfig
from p2i_ray.data.images import encode_png
from p2i_ray.errors import UserError
from p2i_ray.judge.requests import exemplars

PICTURE = encode_png(np.full((64, 64, 3), 100, np.uint8))
LIMITS = ImageConfig(resolution=64)


def file(folder: Path, rows: list[dict]) -> str:
    pq.write_table(pa.Table.from_pylist(rows), folder / "exemplars.parquet")
    return str(folder / "exemplars.parquet")


def row(**changes: object) -> dict:
    return {"name": "mug", "image": {"bytes": PICTURE, "path": ""}, "score": 4, **changes}


def test_exemplars_are_read(tmp_path: Path) -> None:
    (shown,) = exemplars.read(file(tmp_path, [row(reason="fine light")]), LIMITS, 300)
    assert (shown.name, shown.score, shown.reason, shown.image_part["image"]) == ("mug", 4, "fine light", PICTURE)


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([{"name": "mug", "image": {"bytes": PICTURE}}], "lack the column score"),
        ([row(score=None)], "row 0: there is no score"),
        ([row(score=True)], "row 0: the score is True"),
        ([row(score=4.5)], "row 0: the score is 4.5"),
        ([row(score="4")], "row 0: the score is '4'"),
        ([row(name=7)], "no name"),
        ([row(image="mug.png")], "row 0: .*empty"),
        ([], "lack the column"),
        ([row(), row(score=6)], "row 1: the score is 6"),
        ([row(name=" ")], "no name"),
        ([row(image={"bytes": b"x", "path": ""})], "row 0: .*not a"),
        ([row()] * 9, "there are 9 rows; give 1 to 8"),
    ],
)
def test_invalid_exemplars_are_refused(tmp_path: Path, rows: list[dict], line: str) -> None:
    with pytest.raises(UserError, match=line):
        exemplars.read(file(tmp_path, rows), LIMITS, 300)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not there"):
        exemplars.read(str(tmp_path / "none.parquet"), LIMITS, 300)
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(UserError, match="can't be read"):
        exemplars.read(str(tmp_path / "bad.parquet"), LIMITS, 300)


def folder(path: Path, text: str | bytes, **pictures: bytes) -> str:
    """A folder with exemplars.csv and pictures named NAME.png."""
    (path / "c_r").mkdir()
    (path / "c_r" / "exemplars.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    for name, content in pictures.items():
        (path / "c_r" / f"{name}.png").write_bytes(content)
    return str(path / "c_r")


def test_a_folder_is_read(tmp_path: Path) -> None:
    other = encode_png(np.full((64, 64, 3), 9, np.uint8))
    text = '\ufeffName,file, Score ,reason\n"mug, red",a.png,5,fine light\n\njar,b.png, 1 ,\n'
    first, second = exemplars.read(folder(tmp_path, text, a=PICTURE, b=other), LIMITS, 300)
    assert (first.name, first.score, first.reason, first.image_part["image"]) == ("mug, red", 5, "fine light", PICTURE)
    assert (second.name, second.score, second.reason, second.image_part["image"]) == ("jar", 1, "", other)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", r"exemplars\.csv lack the column file, name, score"),
        ("file,name\na.png,mug\n", "lack the column score"),
        ("file,name,score,name\na.png,mug,4,jar\n", "2 columns are called name; keep one"),
        ("file,name,score\n", "there are 0 rows"),
        ("file,name,score\n" + "a.png,mug,4\n" * 9, "there are 9 rows"),
        ("file,name,score\na.png,mug,\n", "line 2: there is no score"),
        ("file,name,score\na.png,mug,4\na.png,mug,good\n", "line 3: the score is 'good'"),
        ("file,name,score\na.png,mug,6\n", "line 2: the score is '6'"),
        ("file,name,score\na.png, ,4\n", "line 2: there is no name"),
        ("file,name,score\na.png,mug, red,4\n", "line 2 has 4 fields, the header 3"),
        ('file,name,score\na.png,"mug,4\n', "line 2: unexpected end of data"),
        ("file,name,score\nnone.png,mug,4\n", "line 2: the file 'none.png' is not there"),
        ("file,name,score\n,mug,4\n", "line 2: the file '' is not there"),
        ("file,name,score\nexemplars.csv,mug,4\n", "line 2: unreadable: text, not a"),
        ("file,name,score\n../secret.png,mug,4\n", "is not in the folder"),
        ("file,name,score\nx/../../secret.png,mug,4\n", "is not in the folder"),
        ("file,name,score\n/etc/passwd,mug,4\n", "is not in the folder"),
        ("file,name,score\nlink.png,mug,4\n", "is not in the folder"),
        ("file,name,score\nhttp://host/a.png,mug,4\n", "is not in the folder"),
        ("file,name,score\nsimplecache::file:///etc/passwd,mug,4\n", "is not in the folder"),
        ("file,name,score\na\0.png,mug,4\n", "is not in the folder"),
        (b"file,name,score\na.png,caf\xe9,4\n", "is not UTF-8"),
    ],
)
def test_a_mistake_in_a_folder_is_named(tmp_path: Path, text: str | bytes, line: str) -> None:
    (tmp_path / "secret.png").write_bytes(PICTURE)
    location = folder(tmp_path, text, a=PICTURE)
    (tmp_path / "c_r" / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(UserError, match=line) as caught:
        exemplars.read(location, LIMITS, 300)
    assert "\n" not in str(caught.value)


def test_a_folder_without_its_csv(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"exemplars\.csv is not there; it has the columns file, name, score"):
        exemplars.read(str(tmp_path), LIMITS, 300)


def scores(*rows: tuple[str, int | None, float | None]) -> pa.Table:
    ids, values, entropies = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "score": pa.array(values, pa.int64()),
            "entropy": pa.array(entropies, pa.float64()),
        }
    )


WORKED = scores(
    ("a", 5, 0.3),
    ("b", 4, 0.1),
    ("c", 1, 0.2),
    ("d", 3, 0.0),
    ("e", 3, 1.5),
    ("f", 2, 0.9),
    ("g", 4, 1.2),
    ("h", None, None),
    ("i", 5, float("nan")),
    ("j", 2, 0.2),
)


@pytest.mark.parametrize(
    ("number", "chosen"),
    [
        (0, []),
        (1, [("b", 4)]),
        (2, [("b", 4), ("e", 3)]),
        (4, [("b", 4), ("c", 1), ("e", 3), ("g", 4)]),
        (5, [("b", 4), ("c", 1), ("a", 5), ("e", 3), ("g", 4)]),  # j and c have equal entropies: ids decide
        (8, [("b", 4), ("c", 1), ("a", 5), ("j", 2), ("e", 3), ("g", 4), ("f", 2), ("d", 3)]),
    ],
)
def test_exemplars_have_the_lowest_and_the_highest_entropies(number: int, chosen: list[tuple[str, int]]) -> None:
    assert exemplars.choose(WORKED, number) == chosen
    assert exemplars.choose(WORKED.take(pa.array(range(WORKED.num_rows - 1, -1, -1))), number) == chosen


def test_one_kind_of_verdict_is_enough() -> None:
    assert exemplars.choose(scores(("a", 3, 0.5), ("b", 3, 0.7)), 4) == [("b", 3), ("a", 3)]
    high = scores(("a", 5, 0.5), ("b", 4, 0.7), ("c", 5, 0.1), ("d", 4, 0.9))
    assert exemplars.choose(high, 4) == [("c", 5), ("a", 5), ("d", 4), ("b", 4)]
    assert exemplars.choose(scores(), 4) == []


def test_a_judge_without_probabilities_has_no_entropies_to_choose_by() -> None:
    with pytest.raises(UserError, match=r"idr\.exemplars=0"):
        exemplars.choose(scores(("a", 4, None), ("b", 2, None)), 4)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdefghijkl"),
            st.none() | st.integers(1, 5),
            st.floats(0, 1.61) | st.sampled_from([0.0, 0.5]),
        ),
        max_size=30,
        unique_by=lambda row: row[0],
    ),
    st.integers(0, 8),
)
def test_chosen_rows_are_scored_rows_once_each(rows: list[tuple[str, int | None, float]], number: int) -> None:
    scored = {id_: (score, entropy) for id_, score, entropy in rows if score is not None}
    chosen = exemplars.choose(scores(*rows), number)
    ids = [id_ for id_, _ in chosen]
    assert len(set(ids)) == len(ids) == min(number, len(scored))
    assert all(scored[id_][0] == score for id_, score in chosen)
    left = [scored[id_][1] for id_ in scored.keys() - set(ids)]
    clear = sum(score != 3 for score, _ in scored.values())
    uncertain = [scored[id_][1] for id_ in ids[min((number + 1) // 2, clear) :]]
    assert uncertain == sorted(uncertain, reverse=True)
    assert not left or not uncertain or max(left) <= min(uncertain)
