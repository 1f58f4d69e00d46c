"""Does the loop help? Three seeds on the toy world, with and without selection, the same steps and the same judge.

Precision: the share of the kept rows that are good (quality >= 4 in truth.parquet, which no product code reads).
Scene fit: the share of painted validation pictures whose scene, as the evaluator's CLIP sees it, suits the category.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from bench.tables import mean_and_spread
from p2i_ray.config import ImageConfig
from p2i_ray.data.images import decode, product_mask
from p2i_ray.mini.scenefit import scene_fit

SEEDS = (0, 1, 2)
ARMS = {"idr": [], "all_rows": ["idr.select=false", "idr.baseline=false"]}
EVALUATOR = "p2i_ray/mini/weights/evaluator_clip"


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
    rows = [row for name in names for row in pq.read_table(round_folder / "generated" / name).to_pylist()]
    painted = [row for row in rows if row["error"] is None]
    limits = ImageConfig()
    images = np.stack([np.asarray(decode(row["image"]["bytes"], limits).convert("RGB")) for row in painted])
    masks = np.stack([product_mask(decode(row["cutout"]["bytes"], limits)) for row in painted])
    return scene_fit(images, masks, [row["category"] for row in painted], EVALUATOR)
