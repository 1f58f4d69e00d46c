"""Show progress while a step runs: phase, round, rows per second and time left, on a terminal or in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from p2i_ray.storage.parquet import Progress


@contextmanager
def phase(title: str, total: int | None, unit: str = "rows") -> Iterator[Progress]:
    """Show a phase's progress; yield the function to call with the number of units just done.

    Args:
        title: e.g. "round 1/3 · score".
        total: units to do (none: not known).
        unit: name of the units.
    """
    terminal = sys.stderr.isatty()
    with tqdm(
        total=total,
        desc=f"{title:<24}",
        unit=f" {unit}",
        file=sys.stderr,
        ascii=not terminal,
        ncols=None if terminal else 100,
        position=None if terminal else 0,  # a log has no lines above to go back to
        mininterval=0.2 if terminal else 10,  # seconds; a log gets a line now and then
        maxinterval=10,
        bar_format="{desc} {n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}, {rate_fmt}]" if total else None,
    ) as bar:
        yield lambda done: _advance(bar, done, terminal)


def say(line: str) -> None:
    """Print one line between the progress bars."""
    tqdm.write(line, file=sys.stderr)


def _advance(bar: tqdm, done: int, terminal: bool) -> None:
    if bar.update(done) and not terminal:
        bar.fp.write("\n")  # a log doesn't show lines that end in \r
