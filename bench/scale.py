"""Very many rows in every step that touches all of them: seconds, the driver's memory, files.

    python -m bench.scale 100000 1000000

The rows have no pictures, and the judge no engine. Each step runs in a fresh process for each number of rows; its
memory is what it has to itself beyond what the same step on few rows left there.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.children import Cost, measure
from bench.scale_steps import FEW, STEPS, write_inputs
from bench.tables import as_lines

SIZES = (50_000, 250_000)
MILLION = 1_000_000


def run(sizes: Sequence[int] = SIZES) -> dict[str, float]:
    """Seconds and the driver's megabytes a million rows of every step, at each size, and the files that there are."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        folder = Path(name)
        write_inputs(folder, FEW)
        for rows in sizes:
            files = write_inputs(folder, rows)
            found |= {f"scale_{kind}_files_per_m_{size(rows)}": n * MILLION / rows for kind, n in files.items()}
            for step in STEPS:
                cost = per_million(step, rows, measure("bench.scale_steps", step, folder, rows))
                print(as_lines(cost), file=sys.stderr, flush=True)  # the whole takes minutes
                found |= cost
    return found


def per_million(step: str, rows: int, cost: Cost) -> dict[str, float]:
    """A step's cost at a number of rows, as figures a million rows."""
    return {
        f"scale_{step}_s_per_m_{size(rows)}": cost.seconds * MILLION / rows,
        f"scale_{step}_mb_per_m_{size(rows)}": cost.peak_mb * MILLION / rows,
    }


def size(rows: int) -> str:
    """A number of rows as figures name it: 100k, 10m."""
    return f"{rows // MILLION}m" if rows % MILLION == 0 else f"{rows / 1000:g}k"


if __name__ == "__main__":
    print(as_lines(run([int(rows) for rows in sys.argv[1:]] or SIZES)))
