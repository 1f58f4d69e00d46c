from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from run_folder import FEEDBACK, HARD_ROW, build

from p2i_ray import report, report_gallery, report_pictures
from p2i_ray.config import ImageConfig
from p2i_ray.epbd.images import encode_png
from p2i_ray.errors import UserError
from p2i_ray.report_plots import metric_plot, score_plot

VOID = {"meta", "img", "br", "path", "use", "rect", "line"}


class Page(HTMLParser):
    """What a browser would see: elements in order, and the text outside style."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


@pytest.fixture(scope="module")
def run(mini_data: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return build(tmp_path_factory.mktemp("runs") / "whole", Path(mini_data))


@pytest.fixture(scope="module")
def page(run: str) -> Page:
    location = report.write(run)
    assert location == f"{run}/report.html"
    return Page(Path(location).read_text("utf-8"))


def test_one_file_without_a_network(page: Page) -> None:
    assert {tag for tag, _ in page.elements} & {"script", "link", "iframe", "object", "form", "a"} == set()
    assert all(image["src"].startswith("data:image/webp;base64,") for image in page.all("img"))
    for _, attributes in page.elements:
        values = {name: value or "" for name, value in attributes.items() if not name.startswith("xmlns")}
        assert not any(name.startswith("on") or "http" in value or "//" in value[:9] for name, value in values.items())
    assert "viewport" in [meta.get("name") for meta in page.all("meta")]


def test_readable_by_everyone(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("main")) == 1
    assert all(image["alt"] for image in page.all("img"))
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.all("svg"))
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    labels = {attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes}
    assert labels <= set(ids)


def test_figures_are_those_of_the_run(run: str, page: Page) -> None:
    rounds = json.loads(Path(run, "run.json").read_text())["rounds"]
    kept = [r["kept"] for r in rounds[1:]]
    assert 120 > kept[0] > kept[1] > kept[2] > 0
    assert f"From 120 photos to the best {kept[2]}" in page.words
    for number, count in enumerate(kept, 1):
        assert f"{count} kept in round {number}" in page.words
    assert "58.31 → 32.88 lower is better · improved" in page.words
    assert "11.94 → 25.81 higher is better · improved" in page.words
    assert f"Round 1, score: 3 × {HARD_ROW}" in page.words
    assert "Round 1, generate: 1 × the worker ran out of memory" in page.words
    assert "FID is taken from 16 pictures with 64 features" in page.words


def test_feedback_and_prompts_are_there_word_for_word(page: Page) -> None:
    for text in FEEDBACK:
        assert text in page.text
    assert "after round 2; sharpened the selection of round 3" in page.words
    assert "after round 3; the last, not used any more" in page.words
    assert page.text.count("version mini-1") == 3
    assert "Rate product pictures from 1 to 5." in page.text


def test_the_same_products_in_every_column(page: Page) -> None:
    heads = re.findall(r"Cutout Before Round 1 .*?Round 2 .*?Round 3 ", page.words)
    assert len(heads) == report_gallery.PRODUCTS


def test_examples_show_the_path_of_their_scores(page: Page) -> None:
    dropped = page.words.split("Dropped in round 2")[1].split("Dropped in round 3")[0]
    paths = re.findall(r"(\d) → (\d) \((\d\.\d\d)\)", dropped)
    assert paths
    assert all(int(first) >= 4 > int(second) for first, second, _ in paths)
    kept = page.words.split("Kept in round 3")[1].split("How it was made")[0]
    assert all(int(last) >= 4 for last in re.findall(r"→ (\d) \(", kept))


def test_other_peoples_text_stays_text(mini_data: str, tmp_path: Path) -> None:
    hostile = '<script>alert(1)</script><img src=x onerror=alert(2)> "q" \' & $\\frac{1}{'
    data = shutil.copytree(mini_data, tmp_path / "data")
    for file in [*data.glob("validation/*.parquet"), *data.glob("train/*.parquet")]:
        table = pq.read_table(file)
        index = table.schema.get_field_index("name")
        pq.write_table(table.set_column(index, table.schema.field("name"), pa.array([hostile] * table.num_rows)), file)
    run = build(tmp_path / "run", data, feedback=(hostile, "</blockquote>", "wrong scene"))
    page = Page(Path(report.write(run)).read_text("utf-8"))
    assert page.all("script") == []
    assert not any("onerror" in attributes for attributes in page.all("img"))
    assert page.text.count(hostile) > 10
    assert "</blockquote>" in page.text


@pytest.mark.parametrize(
    ("stop", "there", "not_there"),
    [
        ((0, "generate"), "The same products", "Dropped and kept"),
        ((0, "measure"), "58.31", "What the judge gave"),
        ((1, "score"), "What the judge gave", "Dropped and kept"),
        ((1, "select"), "Dropped in round 1", "word for word"),
        ((1, "train"), "1 of 3 rounds begun", "word for word"),
        ((1, "feedback"), "after round 1; waits for round 2", "Dropped in round 2"),
        ((2, "select"), "after round 1; sharpened the selection of round 2", "Round 3"),
        ((2, "critique"), "58.31 → 33.40", "Round 3"),
    ],
)
def test_a_run_that_was_stopped(
    mini_data: str, tmp_path: Path, stop: tuple[int, str], there: str, not_there: str
) -> None:
    page = Page(Path(report.write(build(tmp_path / "run", Path(mini_data), stop_after=stop))).read_text("utf-8"))
    assert " stopped " in page.words
    assert there in page.words
    assert not_there not in page.words


def test_a_run_without_selection(mini_data: str, tmp_path: Path) -> None:
    page = Page(Path(report.write(build(tmp_path / "run", Path(mini_data), idr__select="false"))).read_text("utf-8"))
    assert "Run report" in page.words
    assert "58.31 → 32.88" in page.words
    assert "What the judge gave" not in page.words


def test_a_run_whose_data_and_prompts_are_gone(mini_data: str, tmp_path: Path) -> None:
    data = shutil.copytree(mini_data, tmp_path / "data")
    run = build(tmp_path / "run", data, judge__prompts=str(tmp_path / "prompts"))
    shutil.rmtree(data)
    page = Page(Path(report.write(run)).read_text("utf-8"))
    assert "The training pictures are not shown" in page.words
    assert "The prompts can't be shown: prompt file" in page.words


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no run \(config.yaml is not there\)"):
        report.write(str(tmp_path))


def test_the_same_run_gives_the_same_page(run: str) -> None:
    first = Path(report.write(run)).read_bytes()
    assert Path(report.write(run)).read_bytes() == first


def test_rows_by_id_finds_rows_wherever_they_are(tmp_path: Path) -> None:
    names = [f"n{i}" for i in range(100)]
    table = pa.table({"id": [f"{i}" for i in range(100)], "name": names})
    pq.write_table(table.slice(0, 70), tmp_path / "a.parquet", row_group_size=30)
    pq.write_table(table.slice(70), tmp_path / "b.parquet")
    files = [str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")]
    found = report_pictures.rows_by_id(files, ["3", "65", "99", "nobody"], ["name"])
    assert {id_: row["name"] for id_, row in found.items()} == {"3": "n3", "65": "n65", "99": "n99"}
    assert report_pictures.first_ids(files, 2) == [str(i) for i in range(60)]
    assert report_pictures.first_ids(files, 9) == [str(i) for i in range(100)]


def test_spread_takes_categories_in_turn() -> None:
    rows = pa.table({"id": ["5", "1", "2", "4", "3"], "category": ["lamp", "lamp", "lamp", "sofa", "bag"]})
    assert report_pictures.spread(rows, 4) == ["3", "1", "4", "2"]


def test_pictures_are_made_small() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 600, 3)).astype(np.uint8)
    uri = report_pictures.data_uri(encode_png(noise), ImageConfig())
    assert uri is not None
    assert len(uri) < 120_000
    assert report_pictures.data_uri(b"no picture", ImageConfig()) is None
    assert report_pictures.data_uri(None, ImageConfig()) is None


def test_plots_say_what_they_show() -> None:
    svg = metric_plot("FID", ["before", "round 1"], [5.5, 4.25], lower_is_better=True)
    assert 'aria-label="FID, lower is better. before: 5.50, round 1: 4.25"' in svg
    assert "currentColor" in svg
    assert 'width="' not in svg.split(">")[0]
    expected = [4.9, 3.6, 1.2, None]
    scores = pa.table({"score": [5, 4, 1, None], "expected_score": expected, "kept": [True, True, False, False]})
    svg = score_plot("Round <1>", scores, 3.5, "expected_score")
    assert "scores of 4 rows, 2 kept. score 1: 1 rows, score 2: 0 rows, score 3: 0 rows, score 4: 1 rows" in svg
    assert "Round &lt;1&gt;" in svg
    assert "γ = 3.5" in svg
