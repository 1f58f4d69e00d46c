"""Write the toy world as EPBD: `python -m p2i_ray.mini.data --out data/mini`.

The train split resembles a retailer's feed (about half of it good); validation and test are clean; test_unseen is clean
with brands, adjectives and colours that no other split shows. `truth.parquet` (id, quality, flaws) is for tests alone:
no judge sees it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from p2i_ray.data.images import encode_png
from p2i_ray.data.schema import SCHEMA
from p2i_ray.mini.world import CLEAN, CLEAN_UNSEEN, NATURAL, FlawMix, Sample, render

MIXES: dict[str, FlawMix] = {"train": NATURAL, "validation": CLEAN, "test": CLEAN, "test_unseen": CLEAN_UNSEEN}
ROWS_PER_FILE = 256
TRUTH = pa.schema([("id", pa.string()), ("quality", pa.int8()), ("flaws", pa.list_(pa.string()))])


def make(
    out: str | Path,
    *,
    train: int = 1200,
    validation: int = 128,
    test: int = 128,
    test_unseen: int = 128,
    seed: int = 1,
) -> Path:
    """Write the four splits and truth.parquet.

    Args:
        out: folder to write; splits that are there are replaced.
        train: rows of the training split.
        validation: rows of the validation split.
        test: rows of the test split.
        test_unseen: rows of the split of unseen words and colours.
        seed: of the world. The splits share no picture.

    Returns:
        The folder.
    """
    root, truth = Path(out), []
    rows = {"train": train, "validation": validation, "test": test, "test_unseen": test_unseen}
    for number, (split, mix) in enumerate(MIXES.items()):
        folder = root / split
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.parquet"):
            old.unlink()
        samples = (render(10 * seed + number, index, mix) for index in range(rows[split]))
        for part, chunk in enumerate(_chunks(samples)):
            table = pa.Table.from_pylist([row(sample) for sample in chunk], schema=SCHEMA)
            pq.write_table(table, folder / f"part-{part:03d}.parquet")
            truth += [{"id": s.id, "quality": s.quality, "flaws": list(s.flaws)} for s in chunk]
    pq.write_table(pa.Table.from_pylist(truth, schema=TRUTH), root / "truth.parquet")
    return root


def row(sample: Sample) -> dict[str, object]:
    """The sample as a row of EPBD: the picture as PNG, and its cutout (the same pixels, alpha = mask)."""
    cutout = np.dstack([sample.image, sample.mask])  # (64, 64, 4)
    return {
        "id": sample.id,
        "name": sample.name,
        "category": sample.category,
        "image": {"bytes": encode_png(sample.image), "path": f"{sample.id}.png"},
        "cutout": {"bytes": encode_png(cutout), "path": f"{sample.id}-cutout.png"},
    }


def _chunks(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    chunk: list[Sample] = []
    for sample in samples:
        chunk.append(sample)
        if len(chunk) == ROWS_PER_FILE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def main() -> None:
    """Write the data that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", default="data/mini", help="folder to write")
    parser.add_argument("--seed", type=int, default=1, help="the world's seed")
    for split, default in (("train", 1200), ("validation", 128), ("test", 128), ("test_unseen", 128)):
        parser.add_argument(f"--{split.replace('_', '-')}", type=int, default=default, help=f"rows of {split}")
    args = vars(parser.parse_args())
    make(**args)
    print(json.dumps(args))


if __name__ == "__main__":
    main()
