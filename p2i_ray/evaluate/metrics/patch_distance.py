"""Distance of one background's patches from the nearest ones of another: near zero where it was pasted.

A generator that takes a style from a reference picture can score well by copying the reference. For each patch of the
picture's background, the nearest patch of the reference's is looked for, wherever it lies; the mean distance says how
much of the picture is found in the reference. It has no scale of its own: compare it with the distance to another
reference of the same style, which nothing can have been copied from.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.images import Pixels

PATCH = 8  # px


def patch_distance(
    picture: Pixels, mask: Pixels, reference: Pixels, reference_mask: Pixels, *, patch: int = PATCH
) -> float:
    """The mean distance of a picture's background patches to the nearest ones of a reference.

    Args:
        picture: (H, W, 3). Its patches lie side by side, from the upper left corner.
        mask: (H, W), 128 or more where its product is; patches that touch it are left out.
        reference: (h, w, 3). Its patches lie at every place.
        reference_mask: (h, w), of its own product.
        patch: side of the patches, px.

    Returns:
        The root mean square of the colours' differences, in levels 0 to 255, as a mean over the picture's patches. NaN
        where one of both has no patch without a product.
    """
    own = _patches(picture, mask, patch, step=patch)  # (N, D)
    others = _patches(reference, reference_mask, patch, step=1)  # (M, D)
    if not len(own) or not len(others):
        return float("nan")
    # Whole numbers below 2^53: exact, so that equal patches are at distance 0.
    squares = (own**2).sum(1)[:, None] + (others**2).sum(1)[None, :] - 2 * own @ others.T  # (N, M)
    return float(np.sqrt(squares.min(1) / own.shape[1]).mean())


def _patches(picture: Pixels, mask: Pixels, patch: int, *, step: int) -> NDArray[np.float64]:
    """The patches without a product as rows, (N, 3 patch²)."""
    if min(mask.shape) < patch:
        return np.empty((0, 3 * patch * patch))
    windows = np.lib.stride_tricks.sliding_window_view
    every = windows(picture, (patch, patch, 3))[::step, ::step, 0]  # (h, w, p, p, 3)
    covered = windows(mask >= 128, (patch, patch))[::step, ::step].any((-1, -2))  # (h, w)
    return np.asarray(every[~covered].reshape(-1, 3 * patch * patch), np.float64)
