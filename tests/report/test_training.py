"""The report's section "Training", against the records and pictures that it is made from."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from p2i_ray.data.images import encode_png
from p2i_ray.report import build as report
from p2i_ray.report.training_plots import POINTS, WINDOWS, Curve, curve_plot, smooth
from tests.support.page import Page
from tests.support.run_folder import build
from tests.support.training_trace import STEPS, sheet

pytestmark = pytest.mark.long

END = "How it was made"


@pytest.fixture(scope="module")
def run(mini_data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(build(tmp_path_factory.mktemp("runs") / "whole", Path(mini_data)))


def written(run: Path) -> Page:
    return Page(Path(report.write(str(run))).read_text("utf-8"))


def section(page: Page) -> str:
    return page.words.split("Training Every round")[1].split(END)[0]


def told(page: Page) -> list[str]:
    return [svg["aria-label"] or "" for svg in page.all("svg") if "over the steps" in (svg["aria-label"] or "")]


def shown(page: Page) -> list[dict[str, str | None]]:
    return [image for image in page.all("img") if (image["alt"] or "").startswith("sample pictures")]


def test_curves_are_those_of_the_records(run: Path) -> None:
    page = written(run)
    labels = told(page)
    assert [label.split(" over the steps")[0] for label in labels] == [
        "Total",
        "Noise prediction",
        "Token and background",
        "Name and photo",
        "Learning rate",
        "Gradient norm",
    ]
    recorded = [json.loads((run / f"round-{n}" / "checkpoint" / "training.json").read_text())["steps"] for n in (1, 3)]
    half = STEPS // (2 * WINDOWS)
    first = np.mean([step["inpaint"] for step in recorded[0]][: half + 1])
    last = np.mean([step["inpaint"] for step in recorded[1]][-half - 1 :])
    assert f"smoothed. Round 1: from {first:.3g} to " in labels[1]
    assert f" to {last:.3g} in {STEPS} steps" in labels[1].split("Round 3")[1]
    rates = [recorded[0][place]["lr"] for place in (0, -1)]
    assert f"Learning rate over the steps. Round 1: from {rates[0]:.3g} to {rates[1]:.3g} in " in labels[4]
    words = section(page)
    assert "Total Eq. 5: all of it" in words and "Token and background Eq. 4 of (b, B)" in words
    rows = json.loads((run / "run.json").read_text())["rounds"][2]["kept"]
    line = f"Round 2: 120 steps on {rows} rows, 36.2 images a second; 3 % of the time was spent waiting for data."
    assert line in words


def test_the_newest_sheet_of_each_round(run: Path, mini_data: str) -> None:
    images = shown(written(run))
    assert [image["alt"] for image in images] == [
        f"sample pictures, round {n}, after step 120: products, generated pictures, photos" for n in (1, 2, 3)
    ]
    encoded = base64.b64decode((images[1]["src"] or "").partition(",")[2])
    found = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB")).astype(float)
    wanted = sheet(Path(mini_data), 2, 120)
    assert found.shape == wanted.shape  # small enough to be shown as it is
    assert np.abs(found - wanted).mean() < 4


def test_a_training_that_goes_on_shows_its_pictures(mini_data: str, tmp_path: Path) -> None:
    run = Path(build(tmp_path / "run", Path(mini_data), stop_after=(1, "encode")))
    assert not [h2 for h2 in written(run).all("h2") if h2["id"] == "training"]
    samples = run / "round-1" / "tracking" / "samples"
    samples.mkdir(parents=True)
    for name in ("step-000250.png", "step-1000000.png"):
        (samples / name).write_bytes(encode_png(sheet(Path(mini_data), 1, 50)))
    (samples / "step-none.png").write_bytes(b"somebody's own")
    page = written(run)
    assert [image["alt"] for image in shown(page)] == [
        "sample pictures, round 1, after step 1,000,000: products, generated pictures, photos"
    ]
    assert told(page) == []
    (samples / "step-1000000.png").write_bytes(b"half a picture")
    assert shown(written(run)) == []


def test_a_run_without_records_has_no_such_section(mini_data: str, tmp_path: Path) -> None:
    run = Path(build(tmp_path / "run", Path(mini_data), stop_after=(1, "feedback")))
    for folder in ("checkpoint", "tracking"):
        shutil.rmtree(run / "round-1" / folder)
    page = written(run)
    assert told(page) == shown(page) == []
    assert not [h2 for h2 in page.all("h2") if h2["id"] == "training"]


def test_what_was_not_trained_on_or_not_measured_is_left_out(mini_data: str, tmp_path: Path) -> None:
    run = Path(build(tmp_path / "run", Path(mini_data), stop_after=(1, "train")))
    path = run / "round-1" / "checkpoint" / "training.json"
    training = json.loads(path.read_text())
    training["steps"] = [{**step, "cl_background": 0.0} for step in training["steps"][:1]]
    del training["steps"][0]["grad_norm"]
    path.write_text(json.dumps(training))
    labels = told(written(run))
    assert [label.split(" over")[0] for label in labels] == [
        "Total",
        "Noise prediction",
        "Name and photo",
        "Learning rate",
    ]
    assert labels[0].endswith("in 1 steps")


def test_the_moving_mean_by_hand() -> None:
    values = np.arange(3.0 * 2 * WINDOWS)  # a window of 7
    means = smooth(values)
    assert means[10] == pytest.approx(10)
    assert means[0] == pytest.approx((0 + 1 + 2 + 3) / 4)
    assert means[-1] == pytest.approx(values[-4:].mean())
    assert np.array_equal(smooth(np.array([3.0, 5.0])), [3.0, 5.0])


def test_long_trainings_make_no_long_page() -> None:
    rng = np.random.default_rng(0)
    curves = [Curve(f"Round {number}", rng.random(20_000).tolist()) for number in range(1, 4)]
    svg = curve_plot("Total", curves, noisy=True)
    assert svg.count("<use") < POINTS + 60
    assert "Round 3: from 0.5" in svg and "in 20000 steps" in svg
