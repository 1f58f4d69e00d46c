"""Divergence, which stops a training: a loss that is not finite, or one far above those before it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch

WINDOW = 50  # steps that a spike is measured against; with fewer, at the start, there is none


def spike(earlier: Sequence[float], loss: float, ratio: float | None) -> float | None:
    """The ratio of a loss to the median of those before it, if that is more than allowed.

    Args:
        earlier: losses of the steps before.
        loss: the newest.
        ratio: the highest that is allowed; none: any.
    """
    if ratio is None or len(earlier) < WINDOW:
        return None
    times = loss / statistics.median(earlier[-WINDOW:])
    return times if times > ratio else None


def not_finite(inpaint: torch.Tensor, ids: Sequence[str], *, step: int, rates: str) -> str:
    """The line that names the rows whose loss is not finite.

    Args:
        inpaint: Eq. 3 of the rows so far, (world, B), or several losses of each, (world, B, n): each worker's first.
        ids: of the global batch; workers have consecutive parts of it.
        step: from 0.
        rates: the settings of the learning rates.
    """
    by_worker = torch.arange(len(ids)).reshape(len(inpaint), -1)[:, : inpaint.shape[1]]  # (world, B)
    finite = torch.isfinite(inpaint.cpu()).reshape(*inpaint.shape[:2], -1).all(dim=2)
    at_fault = by_worker[~finite].tolist()
    named = [ids[position] for position in at_fault or range(len(ids))]
    return (
        f"training stops at step {step + 1}: the loss of {'Eq. 3' if at_fault else 'Eq. 4'} is not finite for "
        f"{', '.join(named)}; look at these rows, lower {rates}, or set "
        "train.mixed_precision=no"
    )


def spiked(times: float, loss: float, ids: Sequence[str], *, step: int, rates: str) -> str:
    """The line that names a step whose loss is far above those before it."""
    return (
        f"training stops at step {step + 1}: its loss {loss:.4g} is {times:.0f} times the median of the {WINDOW} steps "
        f"before, with the rows {', '.join(ids)}; look at these rows, lower {rates}, or raise "
        "train.max_loss_ratio"
    )
