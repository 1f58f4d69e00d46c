"""Making a study: the same products of all methods, sides that balance, a page that tells nothing."""

from __future__ import annotations

import base64
import io
import json
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.config.study import StudyConfig
from p2i_ray.errors import UserError
from p2i_ray.evaluate.study import evaluations, making, study
from p2i_ray.evaluate.study.study import Study
from tests.support.evaluated import evaluated_row, write_evaluated, write_methods

COLOURS = {"ours-secret": (200, 40, 40), "lama-secret": (40, 200, 40), "sd-secret": (40, 40, 200)}
IMAGE = ImageConfig(resolution=64)


def make(folders: list[str], out: Path, *, number: int = 8, seed: int = 0, **settings: object) -> Study:
    evaluated = evaluations.find(folders)
    return making.make(
        evaluated,
        str(out),
        settings=StudyConfig(**settings),
        image=IMAGE,
        number=number,
        seed=seed,
        asked={"number": number},
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write_methods(tmp_path_factory.mktemp("evaluations"), COLOURS)


def page_data(out: Path) -> dict[str, object]:
    html = (out / study.PAGE).read_text("utf-8")
    return json.loads(re.search(r'<script type="application/json" id="study">(.*?)</script>', html, re.S)[1])


def test_a_study_of_three_methods(folders: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = make(folders, out)
    assert made == study.read(str(out))
    assert made.pairs == [("ours-secret", "lama-secret"), ("ours-secret", "sd-secret")]
    assert len(made.products) == 8 and len(made.questions) == 16 and len(made.pictures) == 24
    asked = Counter((made.pair(one), made.product(one)) for one in made.questions)
    assert set(asked.values()) == {1} and len(asked) == 16
    lefts = Counter((made.pair(one), made.sides(one)[0]) for one in made.questions)
    assert set(lefts.values()) == {4}  # either is left in half of a pair's questions

    data = page_data(out)
    for one in data["questions"]:  # what the page shows is what the key says
        for side, method in zip(("left", "right"), made.sides(one["id"]), strict=True):
            shown = data["pictures"][one[side]].partition("base64,")[2]
            pixel = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown))).convert("RGB"))[2, 2]
            assert tuple(pixel) == COLOURS[method]
        assert one["name"] == made.products[made.product(one["id"])]

    rows = pq.read_table(out / study.PICTURES / study.SPLIT).to_pylist()
    assert {row["id"] for row in rows} == made.pictures.keys()
    for row in rows:
        picture = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))
        assert tuple(picture[2, 2]) == COLOURS[made.pictures[row["id"]].method]


def test_the_page_tells_no_method(folders: list[str], tmp_path: Path) -> None:
    made = make(folders, tmp_path / "out", pairs="all")
    html = (tmp_path / "out" / study.PAGE).read_text("utf-8")
    for secret in ("secret", "lama", str(tmp_path), "/models", *made.products, folders[0]):
        assert secret not in html
    assert "http" not in html.replace("http-equiv", "")  # it loads nothing
    data = page_data(tmp_path / "out")
    assert set(data) == {"study", "criteria", "questions", "pictures"}
    assert [one["id"] for one in data["questions"]] == sorted(made.questions)
    assert "<b>" not in html and "\\u003cb\\u003eno. " in html  # a product's name stays text
    for address in data["pictures"].values():
        shown = Image.open(io.BytesIO(base64.b64decode(address.partition("base64,")[2])))
        assert shown.format == "WEBP" and not shown.getexif() and "icc_profile" not in shown.info


def test_the_seed_chooses_products_and_nothing_that_is_secret(folders: list[str], tmp_path: Path) -> None:
    one, same = make(folders, tmp_path / "1"), make(folders, tmp_path / "2")
    assert one.products == same.products
    assert one.id != same.id and not one.pictures.keys() & same.pictures.keys()
    assert make(folders, tmp_path / "3", seed=1).products != one.products


def test_an_attempt_that_went_on_keeps_the_page_that_raters_may_have(folders: list[str], tmp_path: Path) -> None:
    first = make(folders, tmp_path / "out")
    page = (tmp_path / "out" / study.PAGE).read_bytes()
    assert make(folders, tmp_path / "out") == first
    assert (tmp_path / "out" / study.PAGE).read_bytes() == page
    with pytest.raises(UserError, match="holds a study with other settings"):
        make(folders, tmp_path / "out", number=7)


@pytest.mark.parametrize("products", [1, 7])
def test_sides_of_an_odd_number_differ_by_one(products: int) -> None:
    evaluated = [evaluations.Evaluated(name, f"/{name}", "m", []) for name in "ab"]
    more = Counter()
    for seed in range(40):
        made = making.arrange(
            evaluated,
            [("a", "b")],
            {f"p{n}": "Cup" for n in range(products)},
            settings=StudyConfig(),
            asked={},
            rng=random.Random(seed),
        )
        lefts = Counter(made.sides(one)[0] for one in made.questions)
        assert abs(lefts["a"] - lefts["b"]) == 1
        more[max(lefts, key=lefts.get)] += 1
    assert min(more["a"], more["b"]) > 8  # chance says which


def test_fewer_products_than_asked_are_said(
    folders: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(make(folders[:2], tmp_path / "out", number=50).products) == 12
    assert "12 products in common, fewer than pictures=50" in caplog.text


def test_a_broken_picture_leaves_its_product_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [evaluated_row(number, (9, 9, 9)) for number in range(4)]
    painted = write_evaluated(tmp_path / "a", rows)
    rows[1] = {**rows[1], "image": {"bytes": b"no picture", "path": None}}
    rows[2] = {**rows[2], "image": None, "error": "the cutout is empty"}
    other = write_evaluated(tmp_path / "b", rows)
    made = make([str(painted), str(other)], tmp_path / "out", number=3)
    assert set(made.products) == {"p-000", "p-003"}
    assert "1 of 3 products are left out" in caplog.text and "p-001" in caplog.text
    keys = pq.read_table(tmp_path / "out" / study.PICTURES / study.SPLIT)["id"].to_pylist()
    assert sorted(keys) == sorted(made.pictures)


def test_other_shapes_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = write_evaluated(tmp_path / "a", [evaluated_row(n, (9, 9, 9)) for n in range(3)])
    two = write_evaluated(tmp_path / "b", [evaluated_row(n, (9, 9, 9), size=(96, 64)) for n in range(3)])
    make([str(one), str(two)], tmp_path / "out", number=3)
    assert "3 of 3 products have pictures of different shapes" in caplog.text


def test_what_does_not_fit_together_is_one_line(folders: list[str], tmp_path: Path) -> None:
    rows = [evaluated_row(number, (9, 9, 9)) for number in range(12)]
    renamed = write_evaluated(tmp_path / "renamed", [{**row, "name": "Mug"} for row in rows])
    recut = write_evaluated(tmp_path / "recut", [{**row, "cutout": rows[0]["cutout"]} for row in rows])
    foreign = write_evaluated(tmp_path / "foreign", [{**row, "id": f"x{row['id']}"} for row in rows])
    twice = write_evaluated(tmp_path / "twice", [*rows, rows[0]])
    empty = tmp_path / "empty"
    empty.mkdir()
    torn = write_evaluated(tmp_path / "torn", rows)
    (torn / "generated" / "part-1.parquet").unlink()
    for other, line in {
        renamed: "different names of p-0",
        recut: "different cutouts of p-0",
        foreign: "no product in common",
        twice: "has a product twice: p-000",
        empty: "has no generated.json",
        torn: "part-1.parquet is not there",
        folders[0]: "twice",
    }.items():
        with pytest.raises(UserError, match=line):
            make([folders[0], str(other)], tmp_path / "out")
    with pytest.raises(UserError, match="fewer than two folders"):
        make(folders[:1], tmp_path / "out")
    with pytest.raises(UserError, match=r"study\.reference=x is none of the methods ours-secret"):
        make(folders, tmp_path / "out", reference="x")
    assert not (tmp_path / "out").exists()


def test_a_page_that_would_be_too_large_is_one_line(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1024, 1024, 3), np.uint8)
    picture = io.BytesIO()
    Image.fromarray(noise).save(picture, "PNG")
    row = {**evaluated_row(0, (0, 0, 0)), "image": {"bytes": picture.getvalue(), "path": None}}
    places = [str(write_evaluated(tmp_path / name, [row])) for name in "ab"]
    with pytest.raises(UserError, match=r"would have \d\.\d MB, more than study.max_mb=1; lower pictures"):
        make(places, tmp_path / "out", max_mb=1, side=1024)
    assert not (tmp_path / "out").exists()


def test_methods_have_the_names_that_are_given(tmp_path: Path) -> None:
    one = write_evaluated(tmp_path / "x" / "out", [evaluated_row(0, (9, 9, 9))])
    two = write_evaluated(tmp_path / "y" / "out", [evaluated_row(0, (8, 8, 8))])
    places = [str(one), str(two)]
    assert [found.name for found in evaluations.find(places)] == places  # both are called out
    assert [found.name for found in evaluations.find(places, ["Ours", "LaMa"])] == ["Ours", "LaMa"]
    for names, line in ((["Ours"], "1 names for 2"), (["Ours", "Ours"], "names= has Ours twice")):
        with pytest.raises(UserError, match=line):
            evaluations.find(places, names)
