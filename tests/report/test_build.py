from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from p2i_ray.config import ImageConfig
from p2i_ray.data.images import encode_png
from p2i_ray.errors import UserError
from p2i_ray.judge.calibration import gold, sanity, verdicts
from p2i_ray.judge.calibration.calibrate import Calibration, Example
from p2i_ray.report import build as report
from p2i_ray.report import calibration as report_calibration
from p2i_ray.report import gallery as report_gallery
from p2i_ray.report import pictures as report_pictures
from p2i_ray.report.plots import metric_plot, score_plot
from p2i_ray.run import changes
from p2i_ray.run.folder import Manifest
from tests.support.page import Page
from tests.support.run_folder import FEEDBACK, HARD_ROW, build

pytestmark = pytest.mark.long


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
    assert "no judge, no selection: all photos are trained on" in page.words
    assert "No judge was asked." in page.words
    for word in ("γ", "what the judge says", "Prompt p_R", "The prompts are our own"):
        assert word not in page.words.split("Settings")[0], word


def test_a_run_that_keeps_a_number_of_rows(mini_data: str, tmp_path: Path) -> None:
    run = build(tmp_path / "run", Path(mini_data), stop_after=(1, "select"), idr__keep_rows=[1200, 600])
    page = Page(Path(report.write(run)).read_text("utf-8"))
    assert "keeps the best 1,200 · 600 rows" in page.words
    assert "as many as idr.keep_rows says" in page.words
    assert "γ" not in page.words.split("Settings")[0]


def test_a_run_whose_data_and_prompts_are_gone(mini_data: str, tmp_path: Path) -> None:
    data = shutil.copytree(mini_data, tmp_path / "data")
    run = build(tmp_path / "run", data, judge__prompts=str(tmp_path / "prompts"))
    shutil.rmtree(data)
    page = Page(Path(report.write(run)).read_text("utf-8"))
    assert "The training pictures are not shown" in page.words
    assert "The prompts can't be shown: prompt file" in page.words


def scores(*expected: float) -> verdicts.Scores:
    return verdicts.Scores(np.array(expected), np.array(expected) >= 4)


def calibration(data: Path, **changes: object) -> Calibration:
    """A judge that fails one check of five, on rows of the data."""
    rows = pq.read_table(data / "train", columns=["id", "name", "category"]).slice(0, 40).to_pylist()
    sample = [sanity.Sampled(**row) for row in rows]
    lenders, plans = sanity.lenders(sample), sanity.plans(sample)
    before, after = scores(5, 4, 3, 2), {"swapped": scores(1, 1, 1, 1), "blank": scores(5, 4, 3, 2)}
    after |= {"overlay": scores(3, 3, 3, 2), "orders": scores(5, 4, 3, 2)}
    people = {str(k): float(k) for k in range(1, 6)}
    judged = pa.table({"id": list(people), "score": [1, 2, 2, 4, 5], "expected_score": [1.1, 2.0, 2.4, 4.0, 4.9]})
    examples = [
        Example(
            id=row.id,
            name=row.name,
            order=plans[row.id].instruction,
            lender=lenders[row.id],
            expected={"as_is": 4.51, "swapped": 1.25, "blank": 1.5, "overlay": 2.75, "orders": 4.52},
        )
        for row in sample[:2]
    ]
    found = Calibration(
        gamma=4,
        threshold_on="score",
        sample=40,
        examples=examples,
        gold=gold.agreement(people, judged, 4, "score"),
        shifts=[verdicts.shifted(name, before, after[name]) for name in sanity.VARIANTS],
        exemplars=verdicts.spread([before, before]),
    )
    return found.model_copy(update=changes)


def calibrated(run: str, facts: Calibration) -> Page:
    """The page of a run after its judge was checked."""
    manifest = Manifest(step="calibrate", round=1, seconds=3.2, rows_in=40, facts=facts.model_dump(mode="json"))
    Path(run, "round-1", "steps", "calibrate.json").write_text(manifest.model_dump_json())
    return Page(Path(report.write(run)).read_text("utf-8"))


def test_a_judge_s_checks(mini_data: str, tmp_path: Path, page: Page) -> None:
    assert "Can the judge be trusted?" not in page.words
    run = build(tmp_path / "run", Path(mini_data), stop_after=(1, "score"))
    before = len(Page(Path(report.write(run)).read_text("utf-8")).all("svg"))
    found = calibrated(run, calibration(Path(mini_data)))
    assert "Can the judge be trusted?" in found.words
    section = found.words.split("Can the judge be trusted?")[1].split("What the judge gave")[0]
    assert "passes swapped picture: the score changes on 100 % of the rows, and falls by 2.50 on average." in section
    assert "fails blank picture: the score changes on 0 % of the rows" in section
    assert "The rule: the score must fall on average." in section
    assert "passes exemplars reordered: the decision changes on 0 % of the rows" in section
    assert "Warning: the judge fails 1 of 5 checks." in section
    assert "sale banner 4 3.50 2.75 −0.75 50 % 50 % 0 % 50 %" in section
    assert "Same whole score 80 %" in section and "AUC of the expected score, for gold at least γ 1.00" in section
    new = found.all("svg")[: len(found.all("svg")) - before]
    assert [svg["aria-label"].split(" ")[0] for svg in new] == ["Mean", "Rows", "Mean"]
    assert "sale banner: from 3.50 to 2.75" in new[0]["aria-label"]
    assert "gold 3: 0, 1, 0, 0, 0" in new[1]["aria-label"]
    assert section.count("4.51 as it is") == section.count("1.25 swapped picture") == 2
    assert "calibrate" in found.words.split("Time a step")[1]


def test_checks_that_could_not_be_made(mini_data: str, tmp_path: Path) -> None:
    run = build(tmp_path / "run", Path(mini_data), stop_after=(1, "score"))
    none = [verdicts.shifted(name, scores(), scores()) for name in sanity.VARIANTS]
    found = calibrated(run, calibration(Path(mini_data), shifts=none, exemplars=None, gold=None, examples=[]))
    assert "not checked swapped picture: no row was judged in both forms." in found.words
    assert "swapped picture 0 – – – – – – –" in found.words
    assert "Warning" not in found.words
    assert "Against people's scores" not in found.words and "What the judge was shown" not in found.words


def test_checks_whose_pictures_are_gone(mini_data: str, tmp_path: Path) -> None:
    data = shutil.copytree(mini_data, tmp_path / "data")
    run, facts = build(tmp_path / "run", data, stop_after=(1, "score")), calibration(data)
    shutil.rmtree(data)
    assert "The pictures are not shown: their data is not there any more." in calibrated(run, facts).words
    Path(data, "train").mkdir(parents=True)
    pq.write_table(pq.read_table(mini_data + "/validation"), Path(data, "train", "other-rows.parquet"))
    assert "4.51 as it is" not in calibrated(run, facts).words


def test_names_and_orders_stay_text(mini_data: str, tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    facts = calibration(Path(mini_data))
    examples = [facts.examples[0].model_copy(update={"name": hostile, "order": hostile})]
    found = calibrated(
        build(tmp_path / "run", Path(mini_data), stop_after=(1, "score")),
        calibration(Path(mini_data), examples=examples),
    )
    assert found.all("script") == []
    assert hostile in found.text


def test_checks_as_a_page_and_a_table(mini_data: str, tmp_path: Path) -> None:
    facts = calibration(Path(mini_data))
    files = sorted(str(file) for file in Path(mini_data, "train").glob("*.parquet"))
    page = Page(Path(report_calibration.write(facts, files, ImageConfig(), str(tmp_path))).read_text("utf-8"))
    assert "The judge fails 1 of 5 checks" in page.words
    assert len(page.all("img")) == 10
    lines = report_calibration.table(facts).splitlines()
    assert lines[0].split() == ["Rows", "with", "gold", "5"]
    assert " ".join(lines[9].split()) == "swapped picture 4 3.50 1.00 −2.50 100 % 100 % 0 % 50 % passes"
    assert len({len(line) for line in lines[8:13]}) == 1
    assert lines[13].startswith("exemplars reordered, 2 orders: passes: ")


def test_the_share_that_is_kept_is_marked_where_it_was_cut(mini_data: str, tmp_path: Path) -> None:
    kept, expected = [True, True, False, False], [4.9, 3.6, 3.5, None]
    table = pa.table({"score": [5, 4, 4, None], "expected_score": expected, "kept": kept})
    svg = score_plot("Round 1", table, gamma=4, threshold_on="score", ranked=True)
    assert "cut at 3.60" in svg and "γ" not in svg
    nothing = table.set_column(2, "kept", pa.array([False] * 4))
    assert "cut at" not in score_plot("Round 1", nothing, gamma=4, threshold_on="score", ranked=True)
    run = build(tmp_path / "run", Path(mini_data), stop_after=(1, "select"), idr__keep_fraction=0.5)
    page = Page(Path(report.write(run)).read_text("utf-8"))
    assert "keeps the best 50 %" in page.words
    assert "The 50 % with the highest expected scores are kept" in page.words


def test_what_changed_while_the_run_went_on(mini_data: str, tmp_path: Path) -> None:
    run = build(tmp_path / "run", Path(mini_data), stop_after=(1, "select"))
    path = tmp_path / "run" / "round-1" / "steps" / "select.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "settings": {"idr.gamma": 3.0}}))
    changes.record(run, [changes.Change("idr.gamma: 3.0 -> <4>", "2026-11-28T12:00:00+00:00", "round 2 · select")])
    html = Path(report.write(run)).read_text("utf-8")
    assert "idr.gamma: 3.0 -&gt; &lt;4&gt;</code>, from round 2 · select on" in html
    loaded = report.load(run)
    assert [r.setting("select", "idr.gamma", loaded.config) for r in loaded.rounds] == [4.0, 3.0]


def test_a_run_of_an_older_version(mini_data: str, tmp_path: Path) -> None:
    run = build(tmp_path / "run", Path(mini_data), stop_after=(1, "train"))
    path = Path(run, "config.yaml")
    settings = yaml.safe_load(path.read_text())
    del settings["judge"]["prompts"], settings["evaluate"]["fid_features"], settings["idr"]["keep_fraction"]
    del settings["judge"]["exemplars"], settings["calibration"], settings["train"]["tracking"]
    settings["idr"]["gone"] = 3
    path.write_text(yaml.safe_dump(settings))
    assert "Round 1" in Path(report.write(run)).read_text("utf-8")


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
    assert ">−" not in metric_plot("FID", ["before", "round 1"], [42.3, 2.1], lower_is_better=True)  # a distance's axis
    assert ">−" in metric_plot("CLIP-c-B", ["before", "round 1"], [0.3, -1.2], lower_is_better=False)
    expected = [4.9, 3.6, 1.2, None]
    scores = pa.table({"score": [5, 4, 1, None], "expected_score": expected, "kept": [True, True, False, False]})
    svg = score_plot("Round <1>", scores, gamma=3.5, threshold_on="expected_score")
    assert "scores of 4 rows, 2 kept. score 1: 1 rows, score 2: 0 rows, score 3: 0 rows, score 4: 1 rows" in svg
    assert "Round &lt;1&gt;" in svg
    assert "γ = 3.5" in svg
