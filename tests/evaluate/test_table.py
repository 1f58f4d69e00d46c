"""A table of evaluations: what it shows, and what it refuses to compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.errors import UserError
from p2i_ray.evaluate import picture_values, table
from p2i_ray.evaluate.record import Conditions, Measured, Record

ALIKE = Conditions(
    library="p2i_ray 1", weights="abc", settings={}, resolution=64, images=100, real_images=90, data="test"
)


def evaluation(kid: float, fid: float, **changes: Any) -> Record:
    conditions = ALIKE.model_copy(update=changes)
    figures = {"kid": kid, "kid_low": kid - 1, "kid_high": kid + 1, "kid_left_out": 3.0}
    return Record(
        model="m",
        metrics={
            "fid": Measured(figures={"fid": fid, "fid_images": 90}, conditions=ALIKE),
            "kid": Measured(figures=figures, conditions=conditions),
        },
    )


def test_one_line_an_evaluation_one_column_a_metric() -> None:
    found = table.lines({"runs/a": evaluation(2, 12.3456), "runs/long": evaluation(3, 4)})
    assert found == [
        "           fid    kid",
        "runs/a     12.35  2 (1 to 3), 3 left out",
        "runs/long  4      3 (2 to 4), 3 left out",
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"weights": "x" * 40}, "weights abc and xxx.*…"),
        ({"resolution": 512, "library": "p2i_ray 2"}, "library p2i_ray 1 and p2i_ray 2, resolution 64 and 512"),
        ({"data": "other"}, "data test and other"),
        ({"images": 99, "data": "other"}, "images 100 and 99, data test and other"),
        ({"settings": {"text": "{name}"}}, r"text none and \{name\}"),
    ],
)
def test_what_differs_is_not_compared(changes: dict[str, Any], told: str) -> None:
    records = {"a": evaluation(2, 1), "b": evaluation(2, 1), "c": evaluation(3, 1, **changes)}
    with pytest.raises(UserError, match=f"^a and c can't be compared by kid: {told}; measure both alike, or leave"):
        table.lines(records)
    assert len(table.lines(records, ("fid",))) == 4  # which was measured alike


def painted(folder: Path, *ids: str) -> str:
    """A folder with pictures of these products, and one that could not be painted."""
    (folder / "generated").mkdir(parents=True)
    (folder / "generated.json").write_text(json.dumps({"files": ["part.parquet"]}))
    rows = pa.table({"id": [*ids, "broken"], "error": [*(None for _ in ids), "no name"]})
    pq.write_table(rows, folder / "generated" / "part.parquet")
    return str(folder)


def test_figures_of_other_products_are_not_compared(tmp_path: Path) -> None:
    """As many as those of the first, of which each lacks another one: their means differ by that alone."""
    a, b, c = (painted(tmp_path / name, *ids) for name, ids in (("a", "xyz"), ("b", "zyx"), ("c", "xyw")))
    assert len(table.lines({a: evaluation(2, 1), b: evaluation(3, 1)})) == 3
    with pytest.raises(UserError, match=r"a and .*c can't be compared: one alone has pictures of w, z; paired=true"):
        table.lines({a: evaluation(2, 1), c: evaluation(3, 1)})
    with pytest.raises(UserError, match="can't be compared by kid: images 100 and 200; paired=true compares the prod"):
        table.lines({a: evaluation(2, 1), b: evaluation(3, 1, images=200)})
    found = table.lines({a: evaluation(2, 1), c: evaluation(3, 1, images=99)}, ("kid",), besides=table.PICTURES)
    assert [line.partition("  ")[2] for line in found[1:]] == [
        "2 (1 to 3) of 100, 3 left out",
        "3 (2 to 4) of 99, 3 left out",
    ]


def test_of_settings_only_what_differs_is_told() -> None:
    one, two = ({"text": "a photo of {name}, on white", "fill": fill} for fill in ("grey", "white"))
    with pytest.raises(UserError, match=r"^a and b can't be compared by kid: fill grey and white; measure both alike"):
        table.lines({"a": evaluation(2, 1, settings=one), "b": evaluation(2, 1, settings=two)})


def test_a_record_without_a_figure_is_named() -> None:
    bare = Record(model="m", metrics={"kid": Measured(figures={}, conditions=ALIKE)})
    with pytest.raises(UserError, match=r"^runs/b has no figure of kid; evaluate again"):
        table.lines({"a": evaluation(2, 1), "runs/b": bare}, ("kid",))


def test_a_metric_that_one_lacks() -> None:
    without = evaluation(1, 1)
    del without.metrics["kid"]
    with pytest.raises(UserError, match="b has no kid; it has fid; choose some that all have by methods="):
        table.lines({"a": evaluation(2, 1), "b": without})


def test_paired_differences_to_the_first(tmp_path: Path) -> None:
    """fid has no values of pictures; the number of pictures may differ."""
    folders = [str(tmp_path / name) for name in "abc"]
    for folder, values in zip(folders, ([1.0, 2.0, 3.0], [2.0, 3.0, 4.0], [0.0, 0.0]), strict=True):
        picture_values.write(folder, ["x", "y", "z"][: len(values)], {"kid": np.array(values)}, {})
    a, b, c = folders
    records = {a: evaluation(2, 1), b: evaluation(3, 2), c: evaluation(1, 1, images=2)}
    header, one, two = table.differences(records)
    assert header.split() == ["fid", "kid"]
    assert one == f"{b} - {a}  -    1 (1 to 1) of 3"
    assert two == f"{c} - {a}  -    -1.5 (-2 to -1) of 2, 1 left out"
    assert len(table.differences({a: records[a], b: records[b]}, ("kid",))) == 2
    with pytest.raises(UserError, match="have no values of pictures of fid; evaluate again, or take others by met"):
        table.differences(records, ("fid",))
    with pytest.raises(UserError, match="a difference needs two evaluations"):
        table.differences({a: records[a]})
    with pytest.raises(UserError, match="can't be compared by kid: weights abc and other"):
        table.differences({a: records[a], b: evaluation(3, 2, weights="other")})
