"""From which side a scene is lit, where its brightness says so.

A plane is fitted to the logarithm of the scene's luminance, outliers left out. The scene is lit from a side where it
grows brighter towards that side by a third at least, the same in its upper and its lower half, and by more than its
own texture lets expect. Everything else counts as lit from above. It is a guess: a white wall on the left looks like
a lamp on the left.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from p2i_ray.compositing.levels import luminance
from p2i_ray.data.images import Pixels

SMALL = 48  # longest side on which it is looked at, pixels
DARK = 0.01  # luminance below which nothing is told apart, 0 to 1
LEAST = 0.3  # logarithm by which one side must be brighter than the other
FULL = 1.0  # logarithm from which light counts as coming from one side alone
EXPLAINED = 0.15  # share of the variance that the sides' difference must explain
FEWEST = 32  # pixels of a half that are looked at


def light_side(picture: Pixels, mask: Pixels) -> float:
    """From where a scene is lit: -1 from the left, 1 from the right, 0 from above or unknown.

    Args:
        picture: (H, W, 3).
        mask: (H, W), 255 where the product is, whose pixels don't count.
    """
    scale = min(1.0, SMALL / max(mask.shape))
    size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    light = cv2.resize(luminance(picture), size, interpolation=cv2.INTER_AREA)
    scene = cv2.resize(mask, size, interpolation=cv2.INTER_AREA) == 0
    bright = np.log(np.maximum(light, DARK))
    middle = size[1] // 2
    slopes = [_slope(bright[part], scene[part]) for part in (slice(None), slice(None, middle), slice(middle, None))]
    both, upper, lower = slopes
    if abs(both) < LEAST or min(upper * np.sign(both), lower * np.sign(both)) < LEAST / 2:
        return 0.0
    return float(np.clip(both / FULL, -1, 1))


def _slope(bright: NDArray[np.float64], scene: NDArray[np.bool_]) -> float:
    """The growth of brightness (h, w) from left to right, over the whole width; 0 where it explains little."""
    rows, columns = np.nonzero(scene)
    if len(rows) < FEWEST or np.ptp(columns) < scene.shape[1] // 2:
        return 0.0
    values = bright[rows, columns].astype(np.float64)
    plane = np.stack([columns / scene.shape[1], rows / scene.shape[0], np.ones(len(rows))], axis=1)
    kept = np.ones(len(rows), bool)
    for _ in range(3):
        fit, *_ = np.linalg.lstsq(plane[kept], values[kept], rcond=None)
        apart = np.abs(values - plane @ fit)
        kept = apart <= 2.5 * max(np.median(apart), 1e-3)
    sideways = fit[0] * (plane[:, 0] - plane[kept, 0].mean())
    total = values[kept].var()
    return float(fit[0]) if total > 0 and sideways[kept].var() >= EXPLAINED * total else 0.0
