"""Precision of selections: the loop's last one against four others that keep the same fraction of the rows.

Uses the runs of the benchmark `loop`, which runs first where they are missing. k = |S_R|; every other arm keeps the k
rows of the training split with its highest values:

    random        any k: the fraction of good rows in the split
    clip_score    cosine similarity of picture and name in CLIP (the evaluator's; the toy world has no other)
    aesthetics    colourfulness (Hasler and Suesstrunk, 2003), which needs no learned weights; LAION's head, the usual
                  choice, is trained for another CLIP than the toy world's
    no_feedback   the judge's expected score without feedback; round 1's selection at this fraction is the same

Good is quality >= 4 in truth.parquet, which no product code reads. Precision is the fraction of kept rows
that are good.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bench import loop
from bench.tables import mean_and_spread
from p2i_ray.comparison import row_scores
from p2i_ray.config import Config, load

DATA = Path("data/mini")


def run() -> dict[str, float]:
    """Precision of each arm, mean and standard deviation over the seeds."""
    folders = [Path("runs/bench") / f"idr-{seed}" for seed in loop.SEEDS]
    if not all((folder / "model").is_dir() for folder in folders):
        loop.run()
    photos = pa.concat_tables(pq.read_table(path) for path in sorted((DATA / "train").glob("*.parquet")))
    truth = pq.read_table(DATA / "truth.parquet", columns=["id", "quality"]).to_pydict()
    quality = dict(zip(truth["id"], truth["quality"], strict=True))
    ids = photos["id"].to_pylist()
    good = np.array([quality[id_] >= 4 for id_ in ids])
    pictures = [np.asarray(Image.open(io.BytesIO(row["bytes"])).convert("RGB")) for row in photos["image"].to_pylist()]
    names, settings = photos["name"].to_pylist(), load(Config, "mini").evaluate
    values = {
        "clip_score": row_scores.loaded("clip_score", settings)(pictures, names),
        "aesthetics": row_scores.loaded("colourfulness", settings)(pictures, names),
    }
    figures: dict[str, list[float]] = {}
    for folder in folders:
        kept = set(pq.read_table(folder / "round-3" / "kept.parquet")["id"].to_pylist())
        without = pq.read_table(folder / "round-1" / "scores", columns=["id", "expected_score"]).to_pydict()
        expected = dict(zip(without["id"], without["expected_score"], strict=True))
        arms = {**values, "no_feedback": np.array([expected[id_] or 0 for id_ in ids])}
        found = {name: good[np.argsort(-arm, kind="stable")[: len(kept)]].mean() for name, arm in arms.items()}
        found |= {"idr": np.mean([quality[id_] >= 4 for id_ in kept]), "random": good.mean()}
        for name, precision in found.items():
            figures.setdefault(f"arms_precision_{name}", []).append(float(precision))
    return {key: value for name, seeds in figures.items() for key, value in mean_and_spread(name, seeds).items()}
