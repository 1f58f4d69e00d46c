"""Eq. 3 to 5 against values by hand and against the equations written out."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import DDPMScheduler
from open_clip.loss import ClipLoss
from torch.nn import functional

from p2i_ray.diffusion.losses import contrastive_loss, inpainting_loss, min_snr_weights, total_loss


def test_inpainting_loss_is_each_rows_mean_squared_error() -> None:
    noise = torch.zeros(2, 4, 3, 3)
    predicted = torch.stack([torch.full((4, 3, 3), 2.0), torch.full((4, 3, 3), -1.0)])
    assert inpainting_loss(predicted, noise).tolist() == [4.0, 1.0]


def test_min_snr_weights_by_hand() -> None:
    # alpha_t: 0.9, 0.9 x 0.5 = 0.45, 0.45 x 0.2 = 0.09; SNR = alpha_t / (1 - alpha_t): 9, 0.81818, 0.0989.
    schedule = DDPMScheduler(num_train_timesteps=3, trained_betas=[0.1, 0.5, 0.8])
    timesteps = torch.tensor([0, 1, 2, 0])
    assert min_snr_weights(schedule, timesteps, 5).tolist() == pytest.approx([5 / 9, 1, 1, 5 / 9])
    assert min_snr_weights(schedule, timesteps, 0.5).tolist() == pytest.approx([1 / 18, 0.5 * 0.55 / 0.45, 1, 1 / 18])


def test_min_snr_leaves_pure_noise_as_it_is() -> None:
    schedule = DDPMScheduler(num_train_timesteps=2, trained_betas=[0.5, 1.0])  # nothing is left of the signal: SNR 0
    assert min_snr_weights(schedule, torch.tensor([1]), 5).tolist() == [1]


def test_contrastive_loss_by_hand() -> None:
    # Cosines: each row 1 with its own, 0 with the other; tau 0.5: -log(e^2 / (e^2 + e^0)) both ways.
    left, right = torch.tensor([[3.0, 0.0], [0.0, 0.2]]), torch.tensor([[1.0, 0.0], [0.0, 5.0]])
    expected = -math.log(math.exp(2) / (math.exp(2) + 1))
    assert contrastive_loss(left, right, temperature=0.5).item() == pytest.approx(expected, abs=1e-6)


def test_contrastive_loss_is_eq_4_both_ways() -> None:
    torch.manual_seed(0)
    left, right, tau = torch.randn(5, 8), torch.randn(5, 8), 0.05

    def eq_4(r_b: torch.Tensor, r_background: torch.Tensor) -> torch.Tensor:
        terms = []
        for i in range(5):
            sims = [r_b[i] @ r / (r_b[i].norm() * r.norm()) for r in r_background]
            negatives = sum(torch.exp(s / tau) for j, s in enumerate(sims) if j != i)
            terms.append(-torch.log(torch.exp(sims[i] / tau) / (torch.exp(sims[i] / tau) + negatives)))
        return torch.stack(terms).mean()

    expected = (eq_4(left, right) + eq_4(right, left)) / 2
    torch.testing.assert_close(contrastive_loss(left, right, tau), expected, rtol=1e-5, atol=1e-5)


def test_contrastive_loss_is_that_of_open_clip_to_the_bit() -> None:
    torch.manual_seed(1)
    pairs = [torch.randn(6, 8, requires_grad=True) for _ in range(2)]
    expected = ClipLoss()(*(functional.normalize(one, dim=-1) for one in pairs), logit_scale=1 / 0.07)
    found = contrastive_loss(pairs[0], pairs[1], 0.07)
    assert torch.equal(found, expected)
    for got, wanted in zip(torch.autograd.grad(found, pairs), torch.autograd.grad(expected, pairs), strict=True):
        assert torch.equal(got, wanted)


def test_total_loss_is_eq_5() -> None:
    assert total_loss(torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0), 0.01).item() == pytest.approx(1.05)
