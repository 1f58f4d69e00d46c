"""Format figures for a terminal."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence


def as_lines(figures: Mapping[str, float]) -> str:
    """One `key  value` line per figure."""
    width = max(map(len, figures), default=0)
    return "\n".join(f"{key.ljust(width)}  {value:.3f}" for key, value in figures.items())


def mean_and_spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """The mean over seeds, and the sample standard deviation."""
    return {f"{name}_mean": statistics.mean(values), f"{name}_sd": statistics.stdev(values) if len(values) > 1 else 0.0}
