"""FID by hand, against SciPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn

from p2i_ray.evaluate.metrics.clip_encoder import ClipEncoder
from p2i_ray.evaluate.metrics.fid import clip_fid, stack
from tests.support.generated_rows import picture


class RedAndGreen(nn.Module):
    """Stands in for CLIP: a picture's features are its mean red and its mean green."""

    num_features = 2

    def prepare(self, pictures: Sequence[np.ndarray]) -> Tensor:
        return stack(pictures).float()

    def forward(self, prepared: Tensor) -> Tensor:
        return prepared.mean(dim=(2, 3))[:, :2]


def flat(red: int, green: int) -> np.ndarray:
    return np.full((4, 4, 3), (red, green, 0), np.uint8)


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """The published formula, with SciPy's matrix square root."""
    mean = np.square(a.mean(0) - b.mean(0)).sum()
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    return float(mean + np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real))


def test_by_hand() -> None:
    """Means (1, 1) and (12, 12), covariances 4/3 and 16/3: 2 * 11^2 + 2 * (4/sqrt(3) - 2/sqrt(3))^2 = 244.667."""
    fid, prepare = clip_fid(RedAndGreen())
    fid.update(prepare([flat(r, g) for r in (0, 2) for g in (0, 2)]), real=True)
    fid.update(prepare([flat(r, g) for r in (10, 14) for g in (10, 14)]), real=False)
    assert float(fid.compute()) == pytest.approx(242 + 8 / 3, rel=1e-6)


def test_clip_features_against_scipy(clip_folder: str) -> None:
    encoder = ClipEncoder(clip_folder)
    real, made = [picture(i) for i in range(30)], [picture(100 + i) for i in range(24)]
    fid, prepare = clip_fid(encoder)
    fid.update(prepare(real), real=True)
    fid.update(prepare(made), real=False)
    expected = frechet(encoder.embed(real).double().numpy(), encoder.embed(made).double().numpy())
    assert expected > 0.01
    assert float(fid.compute()) == pytest.approx(expected, rel=1e-4)


def test_stack_keeps_bytes() -> None:
    stacked = stack([flat(1, 2), flat(3, 4)])
    assert stacked.dtype == torch.uint8
    assert stacked.shape == (2, 3, 4, 4)
    assert stacked[1, :2, 0, 0].tolist() == [3, 4]
