"""The toy world's truth as gold scores: `python -m p2i_ray.mini.gold --data data/mini --out runs/gold.parquet`.

Nothing that selects may read the truth, but for the arm of a comparison that shows how far a perfect judge could go.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

LOWEST, HIGHEST = 1, 5  # scores


def write(data: Path, out: Path) -> int:
    """Write id and score, 1..5, of every row of <data>/truth.parquet; returns their number."""
    truth = pq.read_table(data / "truth.parquet", columns=["id", "quality"])
    score = pc.min_element_wise(pc.max_element_wise(truth["quality"].cast(pa.float64()), LOWEST), HIGHEST)
    out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": truth["id"], "score": score}), out)
    return int(truth.num_rows)


def main() -> None:
    """Parse the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/mini"), help="a folder that p2i_ray.mini.data made")
    parser.add_argument("--out", type=Path, required=True, help="the file, replaced if it is there")
    arguments = parser.parse_args()
    print(f"{write(arguments.data, arguments.out)} scores  {arguments.out}")


if __name__ == "__main__":
    main()
