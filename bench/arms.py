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
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from bench import loop
from bench.tables import mean_and_spread

DATA = Path("data/mini")
EVALUATOR = "p2i_ray/mini/weights/evaluator_clip"
BATCH = 200


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
    values = {
        "clip_score": clip_scores(pictures, photos["name"].to_pylist()),
        "aesthetics": np.array([colourfulness(picture) for picture in pictures]),
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


def clip_scores(pictures: list[np.ndarray], names: list[str]) -> np.ndarray:
    """Cosine similarity of each picture and its name."""
    from transformers import AutoProcessor, CLIPModel

    clip: Any = CLIPModel.from_pretrained(EVALUATOR, use_safetensors=True, dtype=torch.float32)
    clip.eval()
    processor = cast(Any, AutoProcessor).from_pretrained(EVALUATOR)
    found = []
    for start in range(0, len(names), BATCH):
        part = slice(start, start + BATCH)
        inputs = processor(text=names[part], images=pictures[part], return_tensors="pt", padding=True, truncation=True)
        with torch.inference_mode():
            output = clip(**inputs)
        found.append(torch.nn.functional.cosine_similarity(output.image_embeds, output.text_embeds))
    return torch.cat(found).numpy()


def colourfulness(picture: np.ndarray) -> float:
    """Hasler and Suesstrunk's measure: spread and mean of the opponent colours."""
    red, green, blue = (picture[..., i].astype(np.float64) for i in range(3))
    across, along = red - green, (red + green) / 2 - blue
    return float(np.hypot(across.std(), along.std()) + 0.3 * np.hypot(across.mean(), along.mean()))
