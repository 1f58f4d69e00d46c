"""What a training leaves behind for the report, without a model: training.json and sample pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageFilter

from p2i_ray.data.images import Pixels, encode_png, product_mask, product_of
from p2i_ray.diffusion.model import card
from p2i_ray.diffusion.model.card import StepRecord
from p2i_ray.run.folder import Run

STEPS = 120
SHEETS = (50, 100, 120)
COLUMNS, GAP = 4, 4


def write(run: Run, number: int, data: Path, rows: int) -> dict[str, object]:
    """round-N/checkpoint/training.json and round-N/tracking/samples/step-*.png; the facts of the step's manifest."""
    checkpoint, samples = Path(run.path(number, "checkpoint")), Path(run.path(number, "tracking", "samples"))
    for folder in (checkpoint, samples):
        folder.mkdir(parents=True)
    base = run.path(number - 1, "checkpoint") if number > 1 else run.config.diffusion.base
    training = card.record(base, run.config.diffusion, run.config.train, rows=rows, seed=0, curve=curve(number))
    (checkpoint / card.RECORD).write_text(card.dump(training))
    for step in SHEETS:
        (samples / f"step-{step:06}.png").write_bytes(encode_png(sheet(data, number, step)))
    return {"rows": rows, "steps": STEPS, "loss": 0.05, "images_per_s": 36.24, "waiting": 0.031}


def curve(number: int) -> list[StepRecord]:
    """Losses that fall from round to round; the first round is warmed up."""
    rng, steps = np.random.default_rng(number), []
    for step in range(1, STEPS + 1):
        progress = number - 1 + step / STEPS
        inpaint = 0.06 + 0.05 * np.exp(-2 * progress) + rng.normal(0, 0.012)
        background, name = (2 + 6 * np.exp(-3 * progress) + rng.normal(0, 0.5) for _ in range(2))
        rate = 5e-4 * min(1, step / 6) * (1 + np.cos(np.pi * step / STEPS)) / 2
        total = inpaint + 0.01 * (background + name)
        steps.append(StepRecord(step, *map(float, (inpaint, background, name, total, rate, rng.gamma(8, 0.1)))))
    return steps


def sheet(data: Path, number: int, step: int) -> Pixels:
    """As samples.sheet lays it out; what is painted is the photo, less blurred from step to step."""
    rows = pq.read_table(data / "train", columns=["image", "cutout"]).slice(0, COLUMNS).to_pylist()
    columns = []
    for row in rows:
        photo = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
        mask = product_mask(Image.open(io.BytesIO(row["cutout"]["bytes"])))
        blur = ImageFilter.GaussianBlur(float(6 * np.exp(1 - number - step / STEPS)))
        bands = [product_of(np.asarray(photo), mask), np.asarray(photo.filter(blur)), np.asarray(photo)]
        columns.append(np.concatenate([np.pad(b, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for b in bands]))
    return np.concatenate(columns, axis=1)[:-GAP, :-GAP]
