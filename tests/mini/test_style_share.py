"""The share of pictures in their reference's style, and whether the reference was copied."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.data.images import encode_png
from p2i_ray.data.schema import IMAGE
from p2i_ray.errors import UserError
from p2i_ray.mini import style_classifier, style_data
from p2i_ray.mini.style_share import Painted, figures, main, partners, read, share

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return style_data.make(tmp_path_factory.mktemp("styles"), train=1, validation=1, test=64, test_unseen=48)


def paint(folder: Path, out: Path, column: str) -> Path:
    """Files as jobs/generate.py writes them, whose pictures are a column of the test split; the last row has none."""
    rows = pq.read_table(folder / "test").to_pylist()
    schema = pa.schema([("id", pa.string()), ("name", pa.string()), ("image", IMAGE), ("error", pa.string())])
    painted = [{"id": row["id"], "name": row["name"], "image": row[column], "error": None} for row in rows]
    painted[-1] |= {"image": None, "error": "the cutout is empty"}
    out.mkdir()
    pq.write_table(pa.Table.from_pylist(painted[::-1], schema=schema), out / "part-000000.parquet")
    return out


def test_the_share_is_the_part_that_agrees() -> None:
    found = share(["noir", "fern", "none", "noir"], ["noir", "fern", "noir", "noir"])
    assert found["style_share"] == 0.75
    assert 0 <= found["style_share_low"] < 0.75 < found["style_share_high"] <= 1
    assert share(["noir"] * 9, ["noir"] * 9, "x") == {"x": 1, "x_low": 1, "x_high": 1}
    with pytest.raises(UserError, match="style_share needs 2 pictures"):
        share(["noir"], ["noir"])


@pytest.mark.parametrize("split", ["test", "test_unseen"])
def test_the_wanted_pictures_have_the_style_and_are_no_copies(folder: Path, split: str) -> None:
    rows, missing = read(folder, split)
    found = figures(rows, style_classifier.load())
    assert not missing and found["style_share"] > 0.9 and found["scene_share"] > 0.8
    halves = (found["same_style_share"], found["other_style_share"])
    assert np.mean(halves) == pytest.approx(found["style_share"])  # each has half of the rows
    assert found["patch_distance"] == pytest.approx(found["patch_distance_other"], rel=0.15)


def test_a_copied_reference_shows_by_its_distance_to_another(folder: Path, tmp_path: Path) -> None:
    rows, missing = read(folder, "test", paint(folder, tmp_path / "painted", "reference"))
    assert len(rows) == 63 and len(missing) == 1 and missing[0].endswith(": the cutout is empty")
    found = figures(rows, style_classifier.load())
    assert found["style_share"] > 0.8  # a copy has the style
    assert found["patch_distance"] < 0.6 * found["patch_distance_other"]
    gap = found["patch_distance_other"] - found["patch_distance"]
    assert found["patch_distance_gap"] == pytest.approx(gap) and 0 < found["patch_distance_gap_low"] < gap


def test_a_partner_has_a_reference_of_the_same_style_and_scene(folder: Path) -> None:
    rows, _ = read(folder, "test_unseen")
    one, two, three, four = (
        Painted(**{**vars(row), "style": style, "reference_scene": scene})
        for row, (style, scene) in zip(
            rows, (("noir", "snow"), ("noir", "beach"), ("noir", "snow"), ("fern", "snow")), strict=False
        )
    )
    found = partners([one, two, three, four])
    assert found[0] is three and found[2] is one and found[1] is found[3] is None
    found = partners([one, three, one])
    assert found[0] is three and found[1] is one and found[2] is one


def test_pictures_of_another_style_are_not_counted(folder: Path) -> None:
    rows, _ = read(folder, "test_unseen")
    swapped = [Painted(**{**vars(row), "style": "noir"}) for row in rows]
    assert figures(swapped, style_classifier.load())["style_share"] < 0.1


def test_rows_that_cannot_be_measured_are_named(folder: Path, tmp_path: Path) -> None:
    painted = paint(folder, tmp_path / "painted", "image")
    [file] = painted.iterdir()
    rows = pq.read_table(file).to_pylist()
    rows[1]["image"]["bytes"] = encode_png(np.zeros((32, 48, 3), np.uint8))
    pq.write_table(pa.Table.from_pylist(rows[:-1]), file)  # the first row of the split is lacking
    found, missing = read(folder, "test", painted)
    assert len(found) == 61 and len(missing) == 3
    assert missing[0].endswith(": not painted") and missing[1].endswith(": 48x32 pixels, its cutout has others")


def test_folders_that_cannot_be_measured_are_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no styles\.parquet; make it"):
        read(tmp_path, "test")
    with pytest.raises(UserError, match="has no references"):
        read(folder, "train")
    with pytest.raises(UserError, match="has no rows"):
        read(folder, "test", tmp_path)


def test_the_command_prints_json_and_one_line_of_what_is_wrong(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    painted = paint(folder, tmp_path / "painted", "image")
    given = ["style_share", "--data", str(folder), "--painted", str(painted)]
    monkeypatch.setattr("sys.argv", given)
    main()
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["pictures"], found["missing"]) == (63, 1) and 0 <= found["style_share_low"] <= found["style_share"]
    assert "the cutout is empty" in err
    monkeypatch.setattr("sys.argv", [*given, "--split", "train"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2 and "has no references" in capsys.readouterr().err
