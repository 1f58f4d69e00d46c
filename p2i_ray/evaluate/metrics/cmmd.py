"""CMMD (Jayasumana et al. 2024): the maximum mean discrepancy of CLIP's features, for any number of pictures.

CMMD = 1000 MMD^2 with the kernel k(x, y) = exp(-|x - y|^2 / (2 10^2)) of normalised features. `cmmd` is the published
implementation's figure, 0 or more, whose means count each picture's pair with itself; that adds up to 10 / N a side.
`cmmd_unbiased` leaves these pairs out. Both intervals are the unbiased one's, since resamples pair more pictures with
themselves than there are in fact. Lower is better. The paper takes CLIP ViT-L/14 at 336 pixels; here it is that of
evaluate.clip: compare only values that share it.
"""

from __future__ import annotations

import numpy as np

from p2i_ray.evaluate.metrics import bootstrap, mmd
from p2i_ray.evaluate.metrics.batch import Features, normalised

SIGMA = 10
SCALE = 1000


def gaussian(x: Features, y: Features) -> Features:
    """The kernel: (N, D), (M, D) to (N, M)."""
    squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
    values: Features = np.exp(-squares / (2 * SIGMA**2))
    return values


def cmmd(generated: Features, real: Features) -> dict[str, float]:
    """CMMD of CLIP's features (N, D) and (M, D), not necessarily normalised; both estimators, with intervals."""
    sides = normalised(generated), normalised(real)
    unbiased = SCALE * mmd.squared(*sides, gaussian)
    published = SCALE * mmd.squared(*sides, gaussian, biased=True)[0]
    shifted = bootstrap.interval("cmmd", unbiased + (published - unbiased[0]))
    return shifted | bootstrap.interval("cmmd_unbiased", unbiased)
