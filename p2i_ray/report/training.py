"""The report's section "Training": how the losses went in every round, and the pictures generated during it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from p2i_ray.config import ImageConfig
from p2i_ray.report import pictures
from p2i_ray.report.data import Round, RunFolder
from p2i_ray.report.page import percent
from p2i_ray.report.training_plots import Curve, curve_plot
from p2i_ray.run.step_table import TRAIN
from p2i_ray.storage import folders, locations

RECORD = "training.json"  # in the model folder
SAMPLES = ("tracking", "samples")  # below a round's folder
SHEET_SIDE = 768  # longest side of a sheet on the page, pixels
LOSSES = {  # as training.json calls them -> title, note
    "total": ("Total", "Eq. 5: all of it"),
    "inpaint": ("Noise prediction", "Eq. 3"),
    "cl_background": ("Token and background", "Eq. 4 of (b, B)"),
    "cl_name": ("Name and photo", "Eq. 4 of (P, I)"),
}
MEANS = {"lr": ("Learning rate", "of the UNet"), "grad_norm": ("Gradient norm", "L2, before clipping")}
EXACT = ("lr",)  # what has no noise to be smoothed
LARGE, SMALL = 1.9, 1.3  # heights of losses and of the rest, inches


class Plot(NamedTuple):
    """A plot and the words above it."""

    title: str
    note: str
    svg: Markup


class Sheet(NamedTuple):
    """The newest sample pictures of a round."""

    title: str
    uri: str


class Section(NamedTuple):
    """The template's values."""

    losses: list[Plot]
    means: list[Plot]
    lines: list[tuple[str, str]]  # round, throughput
    sheets: list[Sheet]


def of_run(run: RunFolder) -> Section | None:
    """The section of a run; none if no round left anything of its training."""
    steps = {r.title: recorded for r in run.rounds if (recorded := _steps(r))}
    limits = ImageConfig.model_validate(run.config["image"])
    sheets = [sheet for r in run.rounds if (sheet := _sheet(r, limits))]
    if not steps and not sheets:
        return None
    lines = [(r.title, line) for r in run.rounds if (line := throughput_text(r))]
    return Section(_plots(steps, LOSSES, LARGE), _plots(steps, MEANS, SMALL), lines, sheets)


def throughput_text(r: Round) -> str:
    """The throughput of a round's training, in words; empty where it wasn't recorded."""
    facts = r.steps[TRAIN.name].facts if TRAIN.name in r.steps else {}
    if "images_per_s" not in facts:
        return ""
    waited = f"; {percent(facts['waiting'])} of the time was spent waiting for data" if "waiting" in facts else ""
    return f"{facts['steps']:,} steps on {facts['rows']:,} rows, {facts['images_per_s']:.3g} images a second{waited}"


def _steps(r: Round) -> list[dict[str, float]]:
    """A finished round's steps, as training.json has them."""
    location = locations.join(r.folder, TRAIN.output, RECORD)
    if TRAIN.name not in r.steps or not locations.exists(location):
        return []
    found: list[dict[str, float]] = json.loads(locations.read_text(location))["steps"]
    return found


def _plots(steps: dict[str, list[dict[str, float]]], titles: dict[str, tuple[str, str]], height: float) -> list[Plot]:
    """A plot a figure; one that is 0 everywhere is left out: it wasn't trained on, or not measured."""
    plots = []
    for key, (title, note) in titles.items():
        curves = [Curve(name, [step[key] for step in rows if key in step]) for name, rows in steps.items()]
        curves = [curve for curve in curves if curve.values]
        if any(value for curve in curves for value in curve.values):
            plots.append(Plot(title, note, curve_plot(title, curves, key not in EXACT, height)))
    return plots


def _sheet(r: Round, limits: ImageConfig) -> Sheet | None:
    files = folders.files(locations.join(r.folder, *SAMPLES), ".png")
    newest = _newest(files)
    if newest is None:
        return None
    uri = pictures.data_uri(locations.read_bytes(files[newest[1]]), limits, SHEET_SIDE)
    return Sheet(f"{r.title}, after step {newest[0]:,}", uri) if uri else None


def _newest(files: Sequence[str]) -> tuple[int, int] | None:
    """(step, place) of the newest sheet; names are step-000250.png, with more digits if need be."""
    names = [file.rpartition("-")[2].removesuffix(".png") for file in files]
    return max(((int(name), place) for place, name in enumerate(names) if name.isdecimal()), default=None)
