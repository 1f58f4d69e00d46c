"""Losses at which a training stops."""

from __future__ import annotations

import pytest
import torch

from p2i_ray.diffusion.training import divergence

RATES = "train.lr_unet and train.lr_text"


def test_a_spike_is_measured_against_the_median_of_the_newest_steps() -> None:
    earlier = [100.0] * 20 + [0.1] * 30 + [0.3] * 20  # the newest 50: median 0.1
    assert divergence.spike(earlier, 1.9, 20) is None
    assert divergence.spike(earlier, 2.1, 20) == pytest.approx(21)
    assert divergence.spike(earlier, 1e9, None) is None
    assert divergence.spike(earlier[:49], 1e9, 20) is None


def test_rows_without_a_loss_are_named_by_worker_and_position() -> None:
    nan = float("nan")
    ids = [f"row-{n}" for n in range(8)]  # worker 0 has the first four
    assert "Eq. 3 is not finite for row-1, row-4;" in divergence.not_finite(
        torch.tensor([[0.0, nan, 0.0, 0.0], [nan, 0.0, 0.0, 0.0]]), ids, step=6, rates=RATES
    )
    first_micro_batch = torch.tensor([[0.0, 0.0], [0.0, float("inf")]])
    line = divergence.not_finite(first_micro_batch, ids, step=6, rates=RATES)
    assert "stops at step 7" in line and "for row-5;" in line
    assert "Eq. 4 is not finite for row-0, row-1" in divergence.not_finite(torch.zeros(2, 4), ids, step=0, rates=RATES)
    several = torch.zeros(2, 4, 2)  # losses of each row
    several[1, 2, 1] = nan
    line = divergence.not_finite(several, ids, step=6, rates="generators.lr_copy")
    assert "for row-6;" in line and "lower generators.lr_copy, or" in line


def test_a_spike_names_step_size_and_rows() -> None:
    line = divergence.spiked(21.4, 2.14, ["a", "b"], step=99, rates=RATES)
    assert "step 100" in line and "2.14 is 21 times the median" in line and "a, b" in line
