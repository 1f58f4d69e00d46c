"""The ingest job, from a shop's folder of photos to data that reads back."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs import ingest, stats
from p2i_ray.config import Config, ImageConfig, load
from p2i_ray.console.cli import main
from p2i_ray.data.images import decode, product_mask
from p2i_ray.data.schema import EXAMPLES
from p2i_ray.data.sources.ingest import Ingested
from p2i_ray.data.sources.rows import id_of
from p2i_ray.data.sources.tasks import SAMPLES
from tests.support.kill_when import kill_when
from tests.support.photos import PHOTOS, make_folder, photo

ROOT = Path(__file__).parents[2]

BAD_ROWS = (
    ("missing.jpg", "Mug", "Cup"),
    ("../secret.jpg", "Mug", "Cup"),
    ("link.jpg", "Mug", "Cup"),
    ("http://127.0.0.1/a.jpg", "Mug", "Cup"),
    ("broken.jpg", "Mug", "Cup"),
    ("large.png", "Mug", "Cup"),
    ("coffee.png", "Mug again", "Cup"),
    ("cup.png", "", "Cup"),
    ("moon.png", "Moon Poster", "Decoration"),
)

# A transparent file, a product that touches the edges of its photo, and one that is too long for a square of it.
WITHOUT_SCENE = {"Lampe Élan 灯", "Rainbow Disc", "Cast Iron Horse"}

SPLITS = (
    "ingest.split.validation=1",
    "ingest.split.test=2",
    "ingest.split.unseen=[Lamp]",
    "ingest.rows_per_file=3",
    "ingest.cutout.max_disagreement=1",  # GrabCut's doubts would set some of these photos aside
)

RULE = "ingest.cleaning.min_attractiveness=3"
NO_JUDGE = f"{RULE} judge.model=/nowhere"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight real photos, one cutout PNG, and rows with every fault."""
    folder = tmp_path_factory.mktemp("shop") / "photos"
    names = make_folder(folder)
    (folder.parent / "secret.jpg").write_bytes(photo("rocket.jpg").read_bytes())
    (folder / "link.jpg").symlink_to(folder.parent / "secret.jpg")
    (folder / "broken.jpg").write_bytes(photo("rocket.jpg").read_bytes()[:5000])
    Image.new("RGB", (3000, 2000)).save(folder / "large.png")
    shutil.copy(photo("moon.png"), folder / "moon.png")
    cutout = np.zeros((120, 100, 4), np.uint8)
    cutout[20:100, 30:70] = (200, 30, 30, 255)
    Image.fromarray(cutout).save(folder / "lamp.png")
    with names.open("a", encoding="utf-8") as out:
        out.writelines(",".join(row) + "\n" for row in (("lamp.png", "Lampe Élan 灯", "Lamp"), *BAD_ROWS))
    return folder


def arguments(shop: Path, out: Path, *more: str) -> list[str]:
    own = [f"source={shop}", f"names={shop}/names.csv", f"out={out}"]
    return ["--config", "mini", *own, "image.resolution=128", "image.max_pixels=3000000", *more]


def rows_of(out: Path, part: str) -> list[dict]:
    return [row for file in sorted((out / part).glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def test_every_row_ends_once_in_a_split_or_in_rejected(
    shop: Path, tmp_path: Path, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data"
    preset = tmp_path / "mine.yaml"
    main(ingest.IngestJob, ingest.__doc__, ingest.run, arguments(shop, out, *SPLITS, f"preset={preset}"))
    shown = capsys.readouterr().out
    found = {part: rows_of(out, part) for part in ("train", "validation", "test", "test_unseen", "rejected")}
    assert len(found["rejected"]) == len(BAD_ROWS) and len(found["test_unseen"]) == 1
    # What shows no scene is tested, not trained on.
    assert len(found["validation"]) == 1 and 2 <= len(found["test"]) <= 2 + len(WITHOUT_SCENE)
    assert len(found["train"]) >= len(PHOTOS) - 4 - len(WITHOUT_SCENE)
    assert all(row["image"] for row in found["train"])
    kinds = {row["source"]: row["reason"].split(": ")[0] for row in found["rejected"]}
    assert kinds == {
        "missing.jpg": "file missing",
        "../secret.jpg": "outside the folder",
        "link.jpg": "outside the folder",
        "http://127.0.0.1/a.jpg": "outside the folder",
        "broken.jpg": "unreadable",
        "large.png": "too large",
        "coffee.png": "duplicate file",
        "cup.png": "empty name",
        "moon.png": "no product found",
    }
    samples = [row for part, rows in found.items() if part != "rejected" for row in rows]
    assert {row["id"] for row in samples} == {id_of(file) for file, *_ in (*PHOTOS, ("lamp.png",))}
    assert found["test_unseen"][0]["name"] == "Lampe Élan 灯"
    for row in samples:
        cutout = decode(row["cutout"]["bytes"], ImageConfig())
        assert cutout.size == (128, 128) and (row["image"] is None) == (row["name"] in WITHOUT_SCENE)
        if row["image"]:
            picture = decode(row["image"]["bytes"], ImageConfig())
            assert picture.size == (128, 128) and picture.mode == "RGB"
        assert 0.02 <= (product_mask(cutout) >= 128).mean() <= 0.9
    lamp = product_mask(decode(found["test_unseen"][0]["cutout"]["bytes"], ImageConfig()))
    assert abs((lamp >= 128).mean() - 80 * 40 / 100**2) < 0.01  # the largest square has 100 pixels a side
    with Image.open(out / "preview.png") as preview:
        assert preview.width > 500
    shown_ids = [row["id"] for row in rows_of(out, EXAMPLES)]  # those whose pictures can be decoded
    assert shown_ids == [row["id"] for row in found["rejected"] if row["source"] == "moon.png"]
    assert json.loads((out / "ingest.json").read_text())["rejected"]["outside the folder"] == 3
    assert "rejected: file missing" in shown and "no product found" in shown
    assert not list(out.glob(".building*"))
    used = load(stats.StatsJob, str(preset), ["out=/nowhere"])
    assert (used.data, used.image.resolution, used.judge.model) == (str(out), 128, load(Config, "mini").judge.model)
    _described(out, len(samples))
    _never_overwritten(shop, out, capsys)
    _measured(out, tmp_path, _added(shop, out, preset, capsys))


def _described(out: Path, rows: int) -> None:
    """The card, and the checksums of every file of rows."""
    assert f"{rows} rows of " in (out / "README.md").read_text("utf-8")
    sums = dict(reversed(line.split("  ")) for line in (out / "SHA256SUMS").read_text().splitlines())
    files = {file for part in out.iterdir() if part.is_dir() for file in part.iterdir()}
    assert sums == {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    assert "rejected/rejected.csv" in sums


def _never_overwritten(shop: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for change, says in (("seed=5", "made with seed=0, and not 5"), (f"source={shop.parent}", "made with source=")):
        with pytest.raises(SystemExit) as stop:
            main(ingest.IngestJob, None, ingest.run, [*arguments(shop, out, *SPLITS), change])
        assert stop.value.code == 2 and f"already holds data, {says}" in capsys.readouterr().err


def _added(shop: Path, out: Path, preset: Path, capsys: pytest.CaptureFixture[str]) -> int:
    """The same command again, when a photo that was missing is there; returns the rows in splits."""
    before = {file: file.read_bytes() for part in out.iterdir() if part.is_dir() for file in part.glob("*.parquet")}
    shutil.copy(photo("coffee.png"), shop / "missing.jpg")  # of a cup, by its picture, and of mugs, by its name
    with (shop / "names.csv").open("a", encoding="utf-8") as names:
        names.write("late.png,Late Disc,Toy\n")
    with Image.open(photo("color.png")) as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(shop / "late.png")
    main(ingest.IngestJob, ingest.__doc__, ingest.run, arguments(shop, out, *SPLITS, f"preset={preset}"))
    shown = capsys.readouterr().out
    parts = {part: rows_of(out, part) for part in ("train", "validation", "test", "test_unseen", "rejected")}
    samples = [row for part, rows in parts.items() if part != "rejected" for row in rows]
    assert f"in a split already {len(PHOTOS) + 1} train" in " ".join(shown.split())
    assert sorted(row["id"] for row in samples) == sorted(
        id_of(file) for file in (*(file for file, *_ in PHOTOS), "lamp.png", "missing.jpg", "late.png")
    )
    homes = {row["id"]: part for part, rows in parts.items() if part != "rejected" for row in rows}
    assert homes[id_of("missing.jpg")] == homes[id_of("coffee.png")]  # the same picture
    assert sorted(row["source"] for row in parts["rejected"]) == sorted(
        {file for file, *_ in BAD_ROWS} - {"missing.jpg"}
    )
    stay = {file: content for file, content in before.items() if "rejected" not in file.parent.name}
    assert all(file.read_bytes() == content for file, content in stay.items())
    assert len(list((out / "rejected").iterdir())) == 2 and not [*out.glob(".[bp]*"), *out.glob("lease*")]
    assert len(list((out / EXAMPLES).iterdir())) == 1
    main(ingest.IngestJob, ingest.__doc__, ingest.run, arguments(shop, out, *SPLITS))  # nothing is new
    assert "preview   /" in capsys.readouterr().out
    return len(samples)


def _measured(out: Path, tmp_path: Path, rows: int) -> None:
    main(stats.StatsJob, None, stats.run, ["--config", "mini", f"data={out}", f"out={tmp_path}/stats"])
    figures = json.loads((tmp_path / "stats" / "stats.json").read_text())
    assert figures["rows"] == rows and figures["image_sizes"] == {"128x128": rows} and figures["repeated_images"] == 1
    leaks = [key for key in figures if key.endswith("_in_several_splits")]
    assert len(leaks) == 4 and not any(figures[key] for key in leaks)
    assert sorted(p.name for p in (tmp_path / "stats").iterdir()) == ["stats.html", "stats.json", "stats.png"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("source=/nowhere", "source /nowhere is not there"),
        ("names=/nowhere.csv", "names /nowhere.csv is not there"),
        ("ingest.split.validatoin=3", "did you mean 'ingest.split.validation'"),
        ("ingest.rows_per_file=0", "greater than or equal to 1"),
        ("ingest.cutter.kind=onnx", "model names the network of kind=onnx"),
        (NO_JUDGE, "judge.model=/nowhere: there is no such folder"),
        (f"{RULE} ingest.cleaning.attractiveness_prompt=/nowhere.yaml", "prompt file /nowhere.yaml is not there"),
        ("source=/", "is in source /, and would be taken for photos later; name a folder outside"),
        ("out=/dev/null/x", "can't write, read and delete files in /dev/null/x"),
    ],
)
def test_a_mistake_is_one_line_before_ray_starts(
    shop: Path, tmp_path: Path, change: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(ingest.IngestJob, None, ingest.run, arguments(shop, tmp_path / "x", *change.split()))
    shown = capsys.readouterr().err
    assert stop.value.code == 2 and says in shown and shown.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_statistics_that_can_not_be_written_are_refused_before_ray_starts(
    mini_data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(stats.StatsJob, None, stats.run, ["--config", "mini", f"data={mini_data}", "out=/dev/null/x"])
    assert stop.value.code == 2 and "can't write, read and delete files in /dev/null/x" in capsys.readouterr().err


def test_the_figures_of_the_table_stand_below_each_other() -> None:
    done = Ingested(12, {"train": 10}, without_scene=0, products=7, rejected={"outside the folder": 2}, files={})
    assert ingest.table(done).splitlines() == [
        "rows of the source" + " " * 16 + "12",
        "train" + " " * 29 + "10",
        "products" + " " * 27 + "7",
        "rejected: outside the folder" + " " * 7 + "2",
    ]


@pytest.mark.slow
def test_killed_at_several_moments_no_row_is_lost_and_none_is_there_twice(shop: Path, tmp_path: Path) -> None:
    def command(out: Path) -> list[str]:
        return [sys.executable, "jobs/ingest.py", *arguments(shop, out, *SPLITS)]

    def content(out: Path) -> list[object]:
        parts = ("train", "validation", "test", "test_unseen", "rejected", EXAMPLES, "ingested")
        return [sorted(map(repr, rows_of(out, part))) for part in parts]

    calm, stormy = tmp_path / "calm", tmp_path / "stormy"
    subprocess.run(command(calm), cwd=ROOT, check=True)
    building = ".building-*"
    moments = [f"{building}/{part}/*" for part in (SAMPLES, "train", "ingested", EXAMPLES)]
    for moment in (*moments, ".publishing.json"):
        kill_when(subprocess.Popen(command(stormy), cwd=ROOT), stormy, moment)
    subprocess.run(command(stormy), cwd=ROOT, check=True)
    assert content(stormy) == content(calm)
    assert not any(stormy.glob(building)) and not (stormy / ".publishing.json").exists()
