"""Metrics by the judge's answers: the available rate and VQAScore.

Rows that the judge could not answer are left out and counted. Figures depend on the judge's model and prompts: compare
only values that share them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from p2i_ray.evaluate.metrics import bootstrap
from p2i_ray.evaluate.metrics.metric import enough

FEWEST = 2


def available_rate(critiques: pa.Table) -> dict[str, float]:
    """The share of pictures that could be used as they are: those in which the judge names no flaw.

    0..1, higher is better.

    Args:
        critiques: the columns `flaws` (a list of names) and `error` (null where there is an answer).
    """
    return _mean("available_rate", available(critiques), share=True)


def available(critiques: pa.Table) -> list[float | None]:
    """The rows' values of `available_rate`: 1 or 0; none: the judge could not answer."""
    rows = critiques.select(["flaws", "error"]).to_pylist()
    return [None if row["error"] is not None else float(not row["flaws"]) for row in rows]


def vqa_score(answers: pa.Table) -> dict[str, float]:
    """The judge's mean probability of "yes" to whether the background suits the product: VQAScore (Lin et al. 2024).

    0..1, higher is better.

    Args:
        answers: the columns `p_yes` (0..1) and `error` (null where there is an answer).
    """
    return _mean("vqa_score", suitable(answers))


def suitable(answers: pa.Table) -> list[float | None]:
    """The rows' values of `vqa_score`; none: the judge could not answer."""
    rows = answers.select(["p_yes", "error"]).to_pylist()
    return [None if row["error"] is not None else row["p_yes"] for row in rows]


def _mean(name: str, values: Sequence[float | None], *, share: bool = False) -> dict[str, float]:
    known: NDArray[np.float64] = np.sort(np.array([value for value in values if value is not None], np.float64))
    enough(name, FEWEST, judged=len(known))
    left_out = {f"{name}_left_out": float(len(values) - len(known))} if len(known) < len(values) else {}
    interval = bootstrap.of_share if share else bootstrap.of_mean
    return interval(name, known) | {f"{name}_images": float(len(known))} | left_out
