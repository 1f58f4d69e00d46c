"""The training loss, Eq. 3 to 5 of the paper, and an optional weighting of Eq. 3."""

from __future__ import annotations

import torch
import torch.distributed as dist
from diffusers import SchedulerMixin
from diffusers.training_utils import compute_snr
from torch.nn import functional


def inpainting_loss(predicted: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """L_inpaint of each row: the mean squared error of the predicted noise (Eq. 3).

    Args:
        predicted: the UNet's output, (B, 4, h, w).
        noise: the added noise, same shape.

    Returns:
        (B,), float32.
    """
    return functional.mse_loss(predicted.float(), noise.float(), reduction="none").mean(dim=(1, 2, 3))


def min_snr_weights(schedule: SchedulerMixin, timesteps: torch.Tensor, gamma: float) -> torch.Tensor:
    """The weights of min-SNR for each row's Eq. 3: min(SNR, gamma) / SNR, for a model that predicts noise.

    Rows with little noise (a high signal-to-noise ratio) teach little and have large gradients (Hang et al., 2023).

    Args:
        schedule: says how much signal a timestep leaves, SNR = alpha_t / (1 - alpha_t) in Eq. 1's terms.
        timesteps: (B,) int64.
        gamma: the ratio above which rows count less, usually 5.

    Returns:
        (B,), float32, in (0, 1].
    """
    snr: torch.Tensor = compute_snr(schedule, timesteps)  # type: ignore[no-untyped-call]
    return (gamma / snr).clamp(max=1)


def contrastive_loss(left: torch.Tensor, right: torch.Tensor, temperature: float) -> torch.Tensor:
    """L'_cl = (L_cl(left, right) + L_cl(right, left)) / 2 with cosine similarity (Eq. 4).

    The pairs of all workers take part: each row's negatives are the other rows of the global batch. Every worker
    computes the loss of the whole batch, and gradients flow back through the gathering to the worker a row came from
    (summed over workers). Once DeepSpeed or DDP has averaged the workers' gradients, they are those of one process
    with the whole batch.

    Args:
        left: features (B, d), not normalised.
        right: features (B, d) of the same rows.
        temperature: tau.

    Returns:
        A float32 number, the same on all workers.
    """
    left = functional.normalize(left.float(), dim=-1)
    right = functional.normalize(right.float(), dim=-1)
    alone = not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1
    if not alone:
        left, right = _gathered(left), _gathered(right)
    scale = 1 / temperature
    forth = scale * left @ right.T  # (B, B), of the global batch
    back = scale * right @ left.T if alone else forth.T  # which is the same but for rounding
    own = torch.arange(len(forth), device=forth.device)
    return (functional.cross_entropy(forth, own) + functional.cross_entropy(back, own)) / 2


def _gathered(rows: torch.Tensor) -> torch.Tensor:
    """The rows of all workers, in the order of the workers; gradients flow back."""
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(rows))  # type: ignore[no-untyped-call]  # torch's


def total_loss(
    inpaint: torch.Tensor, cl_background: torch.Tensor, cl_name: torch.Tensor, weight: float
) -> torch.Tensor:
    """L = L_inpaint + lambda (L'_cl(b, B) + L'_cl(P, I)) (Eq. 5); lambda is `weight`."""
    return inpaint + weight * (cl_background + cl_name)
