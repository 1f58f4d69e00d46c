"""Does the loop help? Three seeds on the toy world, with and without selection, the same steps and the same judge.

Precision: the share of the kept rows that are good (quality >= 4 in truth.parquet, which no product code reads).
Scene fit: the evaluation's scene_fit of the painted validation pictures.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from bench.tables import mean_and_spread
from p2i_ray.config import Config, loading
from p2i_ray.evaluate.measure import MetricSet

SEEDS = (0, 1, 2)
ARMS = {"idr": [], "all_rows": ["idr.select=false", "idr.baseline=false"]}


def run() -> dict[str, float]:
    """Precision in rounds 1 to 3; scene fit before training, after the loop, and after training on all rows."""
    figures: dict[str, list[float]] = {}
    for seed in SEEDS:
        for arm, settings in ARMS.items():
            folder = Path("runs/bench") / f"{arm}-{seed}"
            subprocess.run(
                [sys.executable, "jobs/idr.py", "--config", "mini", f"run_dir={folder}", f"seed={seed}", *settings],
                check=True,
            )
            for name, value in measured(folder, arm).items():
                figures.setdefault(name, []).append(value)
                print(f"seed {seed}  {name}  {value:.3f}", flush=True)
    return {key: value for name, values in figures.items() for key, value in mean_and_spread(name, values).items()}


def measured(folder: Path, arm: str) -> dict[str, float]:
    """One run's figures."""
    figures = {f"loop_{arm}_scene_fit": fit(folder / "round-3")}
    if arm == "idr":
        figures["loop_base_scene_fit"] = fit(folder / "round-0")
        figures |= {f"loop_precision_round_{n}": precision(folder / f"round-{n}" / "kept.parquet") for n in (1, 2, 3)}
        figures["loop_seconds"] = json.loads((folder / "run.json").read_text())["seconds"]
    return figures


def precision(kept: Path) -> float:
    """The share of kept rows that are good."""
    truth = pq.read_table("data/mini/truth.parquet", columns=["id", "quality"]).to_pydict()
    quality = dict(zip(truth["id"], truth["quality"], strict=True))
    return float(np.mean([quality[i] >= 4 for i in pq.read_table(kept)["id"].to_pylist()]))


def fit(round_folder: Path) -> float:
    """Scene fit of a round's painted pictures."""
    names = json.loads((round_folder / "steps" / "generate.json").read_text())["files"]
    mini = loading.load(Config, "mini")
    running = MetricSet(mini.evaluate, mini.image, ("scene_fit",))
    for name in names:
        running.add_generated(pq.read_table(round_folder / "generated" / name))
    return running.figures()["scene_fit"]
